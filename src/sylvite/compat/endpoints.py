"""Where Salt's sockets of a node are: the two that its programs read from and write to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from sylvite.errors import InvalidSetting

PATH_BYTES_MAX = 107
ID_DIGITS = 10


class UnixEndpoints(msgspec.Struct, frozen=True):
    """`pub_mode`: of the socket that is read from."""

    pub: Path
    pull: Path
    pub_mode: int = 0o600

    def check(self) -> UnixEndpoints:
        """Raises InvalidSetting: the path of a socket is too long for the system."""
        longest = max(len(os.fsencode(self.pub)), len(os.fsencode(self.pull)))
        if longest > PATH_BYTES_MAX:
            reason = (
                f"is too long for Salt's sockets: their paths would have {longest} bytes, of at most {PATH_BYTES_MAX}"
            )
            raise InvalidSetting("sock_dir", str(self.pub.parent), reason)
        return self


class TcpEndpoints(msgspec.Struct, frozen=True):
    """On the loopback."""

    pub: int
    pull: int
    host: str = "127.0.0.1"


Endpoints = UnixEndpoints | TcpEndpoints


def master_endpoints(sock_dir: Path) -> UnixEndpoints:
    """As Salt has it, the group may read."""
    return UnixEndpoints(sock_dir / "master_event_pub.ipc", sock_dir / "master_event_pull.ipc", 0o660)


def minion_endpoints(sock_dir: Path, id_: str, hash_type: str = "sha256") -> UnixEndpoints:
    """Raises InvalidSetting: there is no such hash."""
    try:
        hashed = hashlib.new(hash_type, id_.encode(), usedforsecurity=False).hexdigest()[:ID_DIGITS]
    except ValueError as error:
        raise InvalidSetting("hash_type", hash_type, "is no hash that this Python knows") from error
    return UnixEndpoints(sock_dir / f"minion_event_{hashed}_pub.ipc", sock_dir / f"minion_event_{hashed}_pull.ipc")
