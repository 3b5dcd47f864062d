"""Safeguards against hostile input taken out of a broker, for the negative controls of group D: see controls.py."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sylvite.broker.server
import sylvite.daemons.broker
import sylvite.wire.session
from sylvite.auth.peer import Peer
from sylvite.broker.connection import Connection
from sylvite.broker.place import Place
from sylvite.broker.server import Wire
from sylvite.daemons.process import say_ready
from sylvite.errors import RemoteProtocolError
from sylvite.eventlog.storage import DiskStorage
from sylvite.wire.messages import Message
from tests.faults.controls import replace


def _no_translation() -> None:
    """Let what is wrong with a message come out as it is."""
    decode = sylvite.wire.session.decode

    def undocumented(kind: int, body: bytes) -> Message:
        try:
            return decode(kind, body)
        except RemoteProtocolError as error:
            raise ValueError(str(error)) from error

    replace(sylvite.wire.session, "decode", undocumented)


def _keep_what_was_received() -> None:
    received, kept = Connection.receive, list[bytes]()

    def keep(connection: Connection, data: bytes | memoryview) -> None:
        kept.append(bytes(data) * 200)
        received(connection, data)

    replace(Connection, "receive", keep)


def _keep_descriptors() -> None:
    made = Wire.connection_made

    def keep(wire: Wire, transport: Any) -> None:
        os.open(os.devnull, os.O_RDONLY)
        made(wire, transport)

    replace(Wire, "connection_made", keep)


def _dwell_on_mistakes() -> None:
    refuse = Connection.refuse

    def dwell(connection: Connection, *arguments: Any) -> None:
        time.sleep(0.3)
        refuse(connection, *arguments)

    replace(Connection, "refuse", dwell)


def _mode_after_bind() -> None:
    """Make the socket open to all, and close it a moment later."""

    def bind(place: Place, listening: socket.socket, mode: int) -> None:
        umask = os.umask(0)
        listening.bind(str(place.path))
        os.umask(umask)
        asyncio.get_running_loop().call_later(0.02, os.chmod, place.path, mode)
        place.is_ours()

    replace(Place, "bind", bind)


def _look_up_the_process() -> None:
    """Take a peer for who its process belongs to now."""
    peer_of = sylvite.broker.server.peer_of

    def look_up(descriptor: int) -> Peer:
        with socket.socket(fileno=os.dup(descriptor)) as connected:
            pid = int.from_bytes(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
        except FileNotFoundError:
            return Peer("uid:?", 0, frozenset())
        return Peer(f"uid:{uid}", uid, peer_of(descriptor).gids)

    replace(sylvite.broker.server, "peer_of", look_up)


def _take_what_is_found() -> None:
    """Look at neither folders nor files before they are used, nor at the process."""

    def make(path: Path, _: str) -> None:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)

    def nothing(*_: object, **__: object) -> None:
        return

    replace(sylvite.daemons.broker, "secure_process", nothing)
    replace(sylvite.daemons.broker, "secure_folder", make)
    replace(sylvite.daemons.broker, "check_file", nothing)
    replace(DiskStorage, "_check_file", nothing)
    replace(Place, "_check_lock", nothing)


def say_everything() -> None:
    """Let all loggers of this process say all that they can, and asyncio too."""
    os.environ["PYTHONASYNCIODEBUG"] = "1"
    for name in ("sylvite", "sylvite.broker", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)

    def say_so(ready_fd: int | None) -> None:
        logging.getLogger("sylvite.broker").debug("everything is said")
        say_ready(ready_fd)

    replace(sylvite.daemons.broker, "say_ready", say_so)


def _tell_what_is_taken() -> None:
    received = Connection.receive

    def tell(connection: Connection, data: bytes | memoryview) -> None:
        logging.getLogger("sylvite.broker").debug("received %r", bytes(data))
        received(connection, data)

    replace(Connection, "receive", tell)


INPUT_CONTROLS: dict[str, Callable[[], None]] = {
    "documented errors": _no_translation,
    "letting go of what was received": _keep_what_was_received,
    "closing descriptors": _keep_descriptors,
    "quick refusals": _dwell_on_mistakes,
    "the mode at bind": _mode_after_bind,
    "the kernel's word of a peer": _look_up_the_process,
    "precautions": _take_what_is_found,
    "silence about data": _tell_what_is_taken,
}
