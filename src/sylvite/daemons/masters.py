"""Masters: which masters a minion trusts and where they are; what it has learned of them is kept beside its key."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from sylvite.auth.enrolment import Pin, Pins, Token
from sylvite.auth.keys import parse_fingerprint
from sylvite.daemons.precautions import check_file
from sylvite.errors import InvalidSetting
from sylvite.link.minion_end import MasterAddress

FILE = "masters.json"


def read_address(text: str, port: int) -> MasterAddress:
    """Return where a master is: HOST, HOST:PORT, or [ADDRESS]:PORT.  Raises InvalidSetting."""
    host, colon, given = text.strip().rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, given = text.strip(), str(port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not given.isdecimal() or int(given) > 65_535:
        raise InvalidSetting("master", text, "is not HOST, HOST:PORT or [ADDRESS]:PORT")
    return MasterAddress(host, int(given))


class KnownMasters:
    """The file that keeps what was pinned: `pki_dir/masters.json`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def pins(self, finger: str, token: Token | None, *, trust_first: bool) -> Pins:
        """Return what is trusted: what the configuration says, or what was kept, or whom the token is for.

        Raises:
            InvalidKey: `finger` is no fingerprint.  InvalidSetting: the file is not as it was written, or not ours alone.
        """
        if finger:
            return Pins((Pin(parse_fingerprint(finger)),))
        if kept := self._read():
            return Pins(kept)
        if token is not None:
            return Pins((Pin(token.master),))
        return Pins(trust_first=trust_first)

    def keep(self, pins: Pins) -> None:
        """Write what is trusted from now on.  Raises OSError: the disk failed; what was kept before stays."""
        new = self._path.with_name(FILE + ".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode([msgspec.to_builtins(pin) for pin in pins.pins]) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._path)

    def _read(self) -> tuple[Pin, ...]:
        if not self._path.exists():
            return ()
        check_file(self._path, "pki_dir")
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=tuple[Pin, ...])
        except msgspec.DecodeError as error:
            reason = (
                f"cannot be read ({error}); compare the master's fingerprint, set master_finger, and remove the file"
            )
            raise InvalidSetting("pki_dir", str(self._path), reason) from error
