"""A warm parent of what a link is between: brokers, the link of a master, and minions (a broker and its uplink in one process).

As broker_parent.py, which is told here what to run by a LinkStart.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

import sylvite.daemons.link as link_daemon
from sylvite.auth.enrolment import read_pins
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.daemons.configuration import master_configuration
from sylvite.link import master_end, minion_end
from sylvite.link.minion_end import MinionEnd
from tests.faults import broker_parent
from tests.faults.broker_parent import Start
from tests.faults.controls import replace
from tests.faults.link_controls import LINK_CONTROLS, hurry


class LinkStart(Start, frozen=True):
    """`link`: the configuration of a master, whose link is run.  `minion`: the id of a minion that is run.

    Without both it is a broker.  `master`, `port`: the fingerprint of the master, and where the minion reaches it;
    `hurried`: waits are short; `silent_s`: how long an end is waited for then.
    """

    link: str | None = None
    minion: str | None = None
    master: str = ""
    port: int = 0
    hurried: bool = True
    silent_s: float = 10.0


def serve(start: LinkStart, ready: int) -> int:
    if start.hurried:
        hurry(replace)
        for end in (master_end, minion_end):
            replace(end, "SILENT_S", start.silent_s)
    if start.without in LINK_CONTROLS:
        LINK_CONTROLS[start.without]()
        start = msgspec.structs.replace(start, without=None)
    if start.link is not None:
        return link_daemon.main(master_configuration(Path(start.link)), Path(start.folder) / "bus.sock", ready_fd=ready)
    if start.minion is None:
        return broker_parent.serve(start, ready)
    return broker_parent.serve(start, ready, lambda socket: _uplink(start, socket))


@asynccontextmanager
async def _uplink(start: LinkStart, socket: Path) -> AsyncGenerator[None]:
    assert start.minion is not None
    with KeyFolder(Path(start.folder) / "pki", make=True) as folder:
        pair, _ = load_or_make_pair(folder, "minion")
    async with AsyncClient.connect(socket) as bus:
        end = MinionEnd(bus, pair, start.minion, [("127.0.0.1", start.port)], read_pins([start.master]))
        await end.start()
        try:
            yield
        finally:
            await end.stop()


if __name__ == "__main__":
    broker_parent.main(LinkStart, serve)
