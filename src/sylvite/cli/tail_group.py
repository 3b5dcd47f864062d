"""`sylvite tail --group`: the events of all masters of a cluster, shared with others that read as the same group."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.cluster import require_library
from sylvite.cli.output import Lines
from sylvite.cli.render import Rendering
from sylvite.cli.selection_options import Wanted
from sylvite.core.event import Gap
from sylvite.errors import EventsMissed, InvalidSetting, LeaseLost

if TYPE_CHECKING:
    from sylvite.cluster.groups import Group
    from sylvite.cluster.holding import Batch
    from sylvite.cluster.settings import ClusterSettings


def read_group(
    name: str,
    config: Path | None,
    rendering: Rendering,
    wanted: Wanted,
    *,
    newest: bool,
    timeout_s: float | None,
    gaps: str,
) -> int:
    """Show events until SIGTERM, Ctrl-C or the time is over; return the exit code.  Each batch is acknowledged once it is written.

    Raises:
        InvalidSetting: this is no name of a group, or no cluster is set.
        InvalidPattern, InvalidExpression: what is wanted cannot be.
        ClusterError: the servers do not answer, or refuse.
        EventsMissed: a gap, where `gaps` is `error`.
        BrokenPipeError: nobody reads any more.
    """
    require_library()
    from sylvite.client.subscription import read_filter
    from sylvite.cluster.groups import check_group
    from sylvite.daemons.options.reading import load_master

    check_group(name)
    read_filter(wanted.positional, **wanted.named)
    loaded = load_master(config).raise_first()
    settings = loaded.options.cluster
    if not settings:
        raise InvalidSetting("cluster", str(loaded.main), "says nothing of a cluster; set the option")
    settings = msgspec.structs.replace(settings, node=settings.node or loaded.options.id)
    return asyncio.run(_read(settings, name, _Shown(rendering, gaps), wanted, newest=newest, timeout_s=timeout_s))


async def _read(
    settings: ClusterSettings, name: str, shown: _Shown, wanted: Wanted, *, newest: bool, timeout_s: float | None
) -> int:
    from sylvite.cluster.connection import Connection
    from sylvite.cluster.groups import Group

    async with (
        await Connection.open(settings, name=f"sylvite tail --group {name}") as connection,
        Group(connection, name, *wanted.positional, newest=newest, **wanted.named) as group,
    ):
        reading = _Reading(group, shown)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, reading.stop)
        await asyncio.wait((reading.task,), timeout=timeout_s)
        is_late = not reading.task.done()
        reading.stop()
        await asyncio.wait((reading.task,))
    if not reading.task.cancelled():
        reading.task.result()
    return exit_codes.TIMEOUT if is_late else exit_codes.DONE


class _Reading:
    """Shows and acknowledges, until it is stopped: what is begun is finished."""

    def __init__(self, group: Group, shown: _Shown) -> None:
        self._group, self._shown = group, shown
        self._is_at_work = self._is_stopping = False
        self.task = asyncio.create_task(self._run(), name="tail")

    def stop(self) -> None:
        self._is_stopping = True
        if not self._is_at_work:
            self.task.cancel()

    async def _run(self) -> None:
        async for batch in self._group.read():
            self._is_at_work = True
            # In a thread: where nobody takes what is written, the lease is to be kept all the same.
            await asyncio.to_thread(self._shown.write, batch)
            try:
                await batch.acknowledge()
            except LeaseLost as error:
                click.echo(f"-- what was shown last of {batch.node} is shown again elsewhere: {error}", err=True)
            self._is_at_work = False
            if self._is_stopping:
                break


class _Shown:
    """Writes batches to stdout.  `gaps`: `error`, `show` or `hide`."""

    def __init__(self, rendering: Rendering, gaps: str) -> None:
        self._rendering, self._gaps = rendering, gaps
        self._lines = Lines()

    def write(self, batch: Batch) -> None:
        """Raises EventsMissed, BrokenPipeError."""
        for lost in batch.lost:
            self._miss(
                Gap(lost.first, lost.next, "retention", lost.count, f"of {lost.node}; the stream keeps it no longer")
            )
        for gap in batch.gaps:
            self._miss(gap)
        for event in batch.events:
            self._lines.write(self._rendering.event(event))
        self._lines.flush()

    def _miss(self, gap: Gap) -> None:
        if self._gaps == "error":
            raise EventsMissed(gap)
        if self._gaps == "hide":
            return
        if self._rendering.gap_in_line:
            self._lines.write(self._rendering.gap(gap))
        else:
            self._lines.flush()
            click.echo(self._rendering.gap(gap), nl=False, err=True)
