"""Rollover: another key in the place of one that is in use, in a folder of keys.

    NAME.key         the one in use
    NAME-next.key    the one that follows
    NAME-next.said   of a master: its word on that, signed by the one in use, which minions are told

Whatever is cut in between, one of the steps done again goes on from there.
"""

from __future__ import annotations

from sylvite.auth.enrolment import Succession, announce_successor, decode, encode
from sylvite.auth.keyring_folder import KeyFolder, load_pair, private_name, public_file, public_name
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.errors import SylviteError

OVERLAP_S = 24 * 3600.0


class NoRollover(SylviteError):
    """There is no other key that could take the place of the one in use."""

    code = "no_rollover"


def next_name(name: str) -> str:
    return f"{name}-next"


def _said(name: str) -> str:
    return f"{next_name(name)}.said"


def begin(folder: KeyFolder, name: str) -> tuple[KeyPair, bool]:
    """Return the pair that follows, made where there is none yet; and whether it was made."""
    with folder.locked():
        load_pair(folder, name)  # There has to be one that it follows.
        if folder.has(private_name(next_name(name))):
            return load_pair(folder, next_name(name)), False
        pair = make_pair()
        folder.write(private_name(next_name(name)), pair.pem())
        return pair, True


def begin_master(folder: KeyFolder, name: str, now_ns: int, overlap_s: float = OVERLAP_S) -> tuple[KeyPair, bool]:
    """As `begin`, and the word on it that minions are told.  `overlap_s`: how long they trust the former key after the first use of this one."""
    pair, is_new = begin(folder, name)
    with folder.locked():
        if is_new or not folder.has(_said(name)):
            current = load_pair(folder, name)
            statement = announce_successor(current, current.fingerprint, pair.public, now_ns, overlap_s)
            folder.write(_said(name), encode(statement), replace=True)
    return pair, is_new


def statement_of(folder: KeyFolder, name: str) -> bytes:
    """Return the word of a master on its next key; empty where there is none.  Raises InvalidSetting, BadEnrolment."""
    if not folder.has(_said(name)):
        return b""
    content = folder.read(_said(name))
    decode(content, Succession)
    return content


def finish(folder: KeyFolder, name: str) -> KeyPair:
    """Put the next pair in the place of the one in use, and return it.

    Raises:
        NoRollover: there is none.
    """
    with folder.locked():
        if not folder.has(private_name(next_name(name))):
            raise NoRollover("no other key was made that could be used from now on")
        pair = load_pair(folder, next_name(name))
        folder.write(private_name(name), pair.pem(), replace=True)
        folder.write(public_name(name), public_file(pair.public), replace=True)
        for each in (_said(name), private_name(next_name(name))):
            folder.remove(each)
        return pair


def cancel(folder: KeyFolder, name: str) -> None:
    """Forget the next pair.  Minions that were told of it trust it all the same, and it is nowhere any more.

    Raises:
        NoRollover: there is none.
    """
    with folder.locked():
        if not folder.has(private_name(next_name(name))):
            raise NoRollover("no other key was made")
        for each in (_said(name), private_name(next_name(name))):
            folder.remove(each)
