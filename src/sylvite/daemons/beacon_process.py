"""The process of a minion's beacons: calls them when they are due, and puts what they tell on the minion's bus.

`python -m sylvite.daemons.beacon_process`, with a MessagePack map at stdin, `Task`.  A process of its own, so that
a beacon that hangs, or is slow, holds up nothing but the other beacons.  It ends when the minion has gone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from sylvite.core.event import unpack_data
from sylvite.daemons import logs
from sylvite.daemons.logs import LogWish
from sylvite.errors import InvalidData, SylviteError
from sylvite.functions.beacon_rounds import Rounds
from sylvite.functions.bus import LocalBus
from sylvite.functions.context import Context
from sylvite.functions.library import Library

RETURN_TAG = "__beacons_return"
"""Salt's name (spec/salt-events.md 3.8)."""
LOOK_S = 2.0
"""How often it is looked whether the minion is still there."""
logger = logging.getLogger("sylvite.beacons")


class Task(msgspec.Struct, frozen=True):
    """What the minion says at the start."""

    opts: dict[str, Any]
    grains: dict[str, Any]
    socket: str
    log_level: str = "info"
    log_format: str = "text"
    log_file: str | None = None
    log_level_logfile: str | None = None

    def wish(self) -> LogWish:
        file = None if self.log_file is None else Path(self.log_file)
        return LogWish(self.log_level, self.log_format, file, self.log_level_logfile)


def serve(task: Task, parent: int) -> None:
    """Go round until the process `parent` is gone.  Raises SylviteError: the bus is not there any more."""
    with LocalBus(task.socket, name="beacons") as bus:
        rounds = Rounds(
            str(task.opts["id"]), task.opts.get("beacons", {}), Library(Context(task.opts, task.grains, bus)).beacons
        )
        while os.getppid() == parent:
            events = rounds.call(time.monotonic())
            if events:
                _tell(bus, events)
            wait_s = rounds.wait_s(time.monotonic())
            time.sleep(LOOK_S if wait_s is None else min(wait_s, LOOK_S))


def _tell(bus: LocalBus, events: list[dict[str, Any]]) -> None:
    try:
        bus.fire(RETURN_TAG, {"beacons": events})
    except InvalidData as error:
        logger.error("what the beacons tell cannot be an event: %s", error)


def main() -> int:
    # uvloop leaves those open that may be inherited: that of --ready-fd, for one, which others wait to see closed.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    parent = os.getppid()
    # Ctrl-C is for the minion, which then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    task = msgspec.convert(unpack_data(sys.stdin.buffer.read()), Task)
    logs.begin(task.wish())
    try:
        serve(task, parent)
    except SylviteError as error:
        logger.error("the beacons have no bus: %s", error)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())
