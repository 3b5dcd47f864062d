"""Addresses: where a broker is.

An address is a path: `…/bus.sock` is its UNIX socket, `…/bus.tcp` the file in which a broker on TCP has written port and
token, readable by its user alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from sylvite.errors import BrokerNotReachable

VARIABLE = "SYLVITE_SOCKET"
SYSTEM_SOCKETS = (Path("/var/run/sylvite/master/bus.sock"), Path("/var/run/sylvite/minion/bus.sock"))


class TcpAddress(msgspec.Struct, frozen=True):
    """What `bus.tcp` holds."""

    host: str
    port: int
    token: str


def default_socket() -> Path:
    """Return where a broker is looked for: $SYLVITE_SOCKET, the system's places, the user's own."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    for path in SYSTEM_SOCKETS:
        if path.exists():
            return path
    return SYSTEM_SOCKETS[0] if os.geteuid() == 0 else user_socket()


def user_folder() -> Path:
    """Return where the broker of an ordinary user keeps its log, unless it is told otherwise."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "sylvite"


def user_socket() -> Path:
    """Return where such a broker has its socket: where the system keeps what lives as long as a session, or beside the log."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) / "sylvite" if runtime else user_folder()) / "bus.sock"


def read_tcp(path: Path) -> TcpAddress:
    """Raises BrokerNotReachable: there is no such file, or it is not one of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TcpAddress)
    except OSError as error:
        raise BrokerNotReachable(str(path), (error.strerror or "cannot be read").lower()) from error
    except msgspec.DecodeError as error:
        raise BrokerNotReachable(str(path), f"the file is not the address of a broker ({error})") from error


def is_tcp(path: Path) -> bool:
    return path.suffix == ".tcp"
