"""Addresses: where a broker is.

An address is a path: `…/bus.sock` is its UNIX socket, `…/bus.tcp` the file in which a broker on TCP has written port and
token, readable by its user alone.  Paths are texts here: the module `pathlib` costs a tenth of a client's start.
"""

from __future__ import annotations

import os

import msgspec

from sylvite.errors import BrokerNotReachable

VARIABLE = "SYLVITE_SOCKET"
SYSTEM_SOCKETS = ("/var/run/sylvite/master/bus.sock", "/var/run/sylvite/minion/bus.sock")
SYSTEM_FILES = ("/var/run/sylvite/master/bus.tcp", "/var/run/sylvite/minion/bus.tcp")
"""Of nodes with `ipc_mode: tcp`."""

SOCKET, TCP_FILE = "bus.sock", "bus.tcp"

AnyPath = str | os.PathLike[str]


class TcpAddress(msgspec.Struct, frozen=True):
    """What `bus.tcp` holds."""

    host: str
    port: int
    token: str


def bus_in(folder: AnyPath, ipc_mode: str) -> str:
    """Return the address of a node's bus, from its options `sock_dir` and `ipc_mode`."""
    return os.path.join(folder, TCP_FILE if ipc_mode == "tcp" else SOCKET)


def default_socket() -> str:
    """Return where a broker is looked for: $SYLVITE_SOCKET, the system's places, the user's own."""
    if named := os.environ.get(VARIABLE):
        return named
    for path in (*SYSTEM_SOCKETS, *SYSTEM_FILES):
        if os.path.exists(path):
            return path
    return SYSTEM_SOCKETS[0] if os.geteuid() == 0 else user_socket()


def user_folder() -> str:
    """Return where the broker of an ordinary user keeps its log, unless it is told otherwise."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return os.path.join(os.path.expanduser(state), "sylvite")


def user_socket() -> str:
    """Return where such a broker has its socket: where the system keeps what lives as long as a session, or beside the log."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return os.path.join(runtime, "sylvite", "bus.sock") if runtime else os.path.join(user_folder(), "bus.sock")


def read_tcp(path: AnyPath) -> TcpAddress:
    """Raises BrokerNotReachable: there is no such file, or it is not one of ours."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=TcpAddress)
    except OSError as error:
        raise BrokerNotReachable(str(path), (error.strerror or "cannot be read").lower()) from error
    except msgspec.DecodeError as error:
        raise BrokerNotReachable(str(path), f"the file is not the address of a broker ({error})") from error


def is_tcp(path: AnyPath) -> bool:
    return os.fspath(path).endswith(".tcp")
