"""Masters: which masters a minion trusts; what it has learned of them is kept beside its key."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from sylvite.auth.enrolment import Pin, Pins, Token
from sylvite.auth.keyring_folder import KeyFolder
from sylvite.auth.keyring_values import KeyringBusy
from sylvite.auth.keys import InvalidKey, parse_fingerprint
from sylvite.errors import InvalidSetting

FILE = "masters.json"
logger = logging.getLogger("sylvite.minion")


class KnownMasters:
    """The file that keeps what was pinned: `pki_dir/masters.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pins(self, finger: str, token: Token | None, *, trust_first: bool) -> Pins:
        """Return what is trusted: what the configuration says, or what was kept, or whom the token is for.

        Raises:
            InvalidSetting: `finger` is no fingerprint; the file is not as it was written, or not ours alone.
        """
        if finger:
            try:
                pinned = parse_fingerprint(finger)
            except InvalidKey as error:
                reason = "is not a fingerprint; `sylvite keys finger` on the master says what it is"
                raise InvalidSetting("master_finger", finger[:100], reason) from error
            kept = self._read()
            # A master that has another key by now has told us so while it had this one.
            is_led_to = any(pinned in (pin.fingerprint, *pin.lineage) for pin in kept)
            return Pins(kept if is_led_to else (Pin(pinned),))
        if kept := self._read():
            return Pins(kept)
        if token is not None:
            return Pins((Pin(token.master),))
        return Pins(trust_first=trust_first)

    def keep(self, pins: Pins) -> None:
        """Write what is trusted from now on; where that fails, it is said, and the session goes on."""
        content = msgspec.json.encode(pins.pins) + b"\n"
        try:
            with KeyFolder(self._path) as folder, folder.locked():
                folder.write(FILE, content, replace=True)
        except (OSError, InvalidSetting, KeyringBusy) as error:
            logger.error("what is known of the master could not be kept for the next start: %s", error)

    def _read(self) -> tuple[Pin, ...]:
        with KeyFolder(self._path) as folder:
            if not folder.has(FILE):
                return ()
            content = folder.read(FILE)
        try:
            return msgspec.json.decode(content, type=tuple[Pin, ...])
        except msgspec.DecodeError as error:
            reason = (
                f"cannot be read ({error}); compare the master's fingerprint, set master_finger, and remove the file"
            )
            raise InvalidSetting("pki_dir", str(self._path / FILE), reason) from error
