"""Safeguards against hostile input taken out of a broker, for the negative controls of group D: see controls.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import sylvite.wire.session
from sylvite.broker.connection import Connection
from sylvite.broker.server import Wire
from sylvite.errors import RemoteProtocolError
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


INPUT_CONTROLS: dict[str, Callable[[], None]] = {
    "documented errors": _no_translation,
    "letting go of what was received": _keep_what_was_received,
    "closing descriptors": _keep_descriptors,
    "quick refusals": _dwell_on_mistakes,
}
