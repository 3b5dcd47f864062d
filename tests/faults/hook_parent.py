"""A warm parent of what webhooks go through: brokers, interfaces, and what posts events.

As broker_parent.py, which is told here what to run by a HookStart.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sylvite.api import process as api_process
from sylvite.api.process import Listening
from sylvite.daemons import webhooks as webhooks_daemon
from sylvite.daemons.configuration import part_configuration
from tests.faults import broker_parent
from tests.faults.broker_parent import Start
from tests.faults.hook_controls import HOOK_CONTROLS, lead


class HookStart(Start, frozen=True):
    """`part`: what is run: a broker, else `api` at a port, or `webhooks`; by the master's file `options`.

    `names`: where names lead, one list of addresses for each time that one is looked up.
    """

    part: str = "broker"
    port: int = 0
    options: str = ""
    names: dict[str, list[list[str]]] = msgspec.field(default_factory=dict[str, list[list[str]]])


def serve(start: HookStart, ready: int) -> int:
    if start.without in HOOK_CONTROLS:
        HOOK_CONTROLS[start.without]()
        start = msgspec.structs.replace(start, without=None)
    if start.names:
        lead(start.names)
    if start.part == "broker":
        return broker_parent.serve(start, ready)
    folder = Path(start.folder)
    options = Path(start.options) if start.options else None
    configuration = part_configuration(options, {"data_dir": folder})
    bus = folder / "bus.sock"
    if start.part == "api":
        return api_process.main(configuration, bus, Listening("127.0.0.1", start.port), ready_fd=ready)
    return webhooks_daemon.main(configuration, bus, ready_fd=ready)


if __name__ == "__main__":
    broker_parent.main(HookStart, serve)
