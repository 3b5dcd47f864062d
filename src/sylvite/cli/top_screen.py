"""The terminal console: one screen of tables, filled every second from what the broker says and from the events themselves."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, Static

from sylvite.cli.amounts import show_age, show_bytes, show_count, show_duration, show_number_of
from sylvite.cli.node_facts import load_nodes, master_facts, of_log
from sylvite.cli.status import NANOSECONDS, Stats, keeping, some
from sylvite.cli.template import printable
from sylvite.cli.top_rates import TagRates
from sylvite.client.async_client import AsyncClient
from sylvite.errors import ConnectionLost, SylviteError, WaitTimeout

if TYPE_CHECKING:
    from sylvite.daemons.options.master import MasterOptions

EVERY_S = 1.0
BEHIND_MAX = 50_000
"""Further behind than this the tags are not counted any more, but what comes from now on: the rates are of a sample then."""
PIECE = 500
"""So many events are counted before the screen may draw."""
ROWS_MAX = 200
Cell = str | Text
SORTED_BY = ("NOW", "MINUTE", "EVENTS", "TAG")


class Top(App[SylviteError | None]):
    """Returns, from `run`, what ended it; None for q."""

    TITLE = "sylvite top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #facts { height: auto; padding: 0 1; }
    #tags { width: 3fr; }
    #side { width: 2fr; }
    #minions { height: auto; max-height: 40%; padding: 0 1; border-top: solid $primary; border-title-color: $text; }
    #readers { border-top: solid $primary; }
    DataTable { height: 1fr; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "End"),
        ("p", "pause", "Stop, go on"),
        ("s", "sort", "Sort by another column"),
    ]

    def __init__(self, socket: str, patterns: tuple[str, ...]) -> None:
        super().__init__()
        self._socket, self._patterns = socket, patterns
        self._rates = TagRates()
        self._before: Stats | None = None
        self._master: MasterOptions | None = None
        self._is_stopped = False
        self._is_sample = False
        self._sorted_by = 0
        self._end = 0

    def compose(self) -> ComposeResult:
        yield Static(id="facts", markup=False)
        with Horizontal():
            yield DataTable[Cell](id="tags", cursor_type="none", zebra_stripes=True)
            with Vertical(id="side"):
                yield Static(id="minions", markup=False)
                yield DataTable[Cell](id="readers", cursor_type="none", zebra_stripes=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._table("tags").add_columns("TAG", "NOW/s", "MINUTE/s", "EVENTS", "LAST")
        readers = self._table("readers")
        readers.add_columns("READER", "CURSOR", "BEHIND")
        readers.border_title = "readers"
        self.query_one("#minions", Static).display = False
        self.run_worker(self._watch(), exit_on_error=True)

    def _table(self, name: str) -> DataTable[Cell]:
        return cast("DataTable[Cell]", self.query_one(f"#{name}", DataTable))

    # -- What is asked and heard -----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        try:
            async with AsyncClient.connect(self._socket, name="sylvite top") as bus, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._count(bus))
                tasks.create_task(self._look_again(bus))
        except* SylviteError as failed:
            found: BaseException = failed
            while isinstance(found, BaseExceptionGroup):
                found = found.exceptions[0]
            assert isinstance(found, SylviteError)
            self.exit(found)

    async def _count(self, bus: AsyncClient) -> None:
        """Count tags for ever; what is too far behind is left out, and said."""
        while True:
            async with await bus.subscribe(*self._patterns) as events:
                counted = 0
                async for event in events:
                    self._rates.count(event.tag, time.monotonic())
                    counted += 1
                    if counted % PIECE:
                        continue
                    await asyncio.sleep(0)
                    if self._end - event.offset > BEHIND_MAX:
                        self._is_sample = True
                        break

    async def _look_again(self, bus: AsyncClient) -> None:
        while True:
            started = time.monotonic()
            await self._look(bus)
            await asyncio.sleep(max(0.1, EVERY_S - (time.monotonic() - started)))

    async def _look(self, bus: AsyncClient) -> None:
        try:
            stats = msgspec.convert(await bus.ask("stats", timeout_s=3.0), Stats)
            cursors: list[dict[str, Any]] = (await bus.ask("cursors", timeout_s=3.0))["cursors"]
        except (ConnectionLost, WaitTimeout) as error:
            self._facts(f"the broker is away: {error}")
            return
        self._end = stats.log.end
        if self._before is None:
            self._master = await asyncio.to_thread(_master_of, stats.log.folder)
        minions = await asyncio.to_thread(_minions, self._master) if self._master is not None else []
        if not self._is_stopped:
            self._show(stats, cursors, minions)
        self._before = stats

    # -- What is shown ---------------------------------------------------------------------------------------------

    def _show(self, stats: Stats, cursors: list[dict[str, Any]], minions: list[str]) -> None:
        lines = _facts(stats, self._before)
        if self._is_sample:
            lines.append("more comes than can be counted here: the rates by tag are of a sample")
        self._facts("\n".join(lines))
        self._show_tags()
        self._show_readers(stats, cursors)
        panel = self.query_one("#minions", Static)
        panel.display = bool(minions)
        panel.border_title = "minions"
        panel.update("\n".join(minions))

    def _facts(self, text: str) -> None:
        self.query_one("#facts", Static).update(text)

    def _show_tags(self) -> None:
        now_s = time.monotonic()
        rates = self._rates.rates(now_s)
        match SORTED_BY[self._sorted_by]:
            case "MINUTE":
                rates.sort(key=lambda rate: -rate.minute)
            case "EVENTS":
                rates.sort(key=lambda rate: -rate.events)
            case "TAG":
                rates.sort(key=lambda rate: rate.shape)
            case _:
                pass  # As they come.
        rows = [
            (
                printable(rate.shape), _number(rate.now), _number(rate.minute), _right(show_count(rate.events)),
                _right(show_age(max(0.0, now_s - rate.last_s))),
            )
            for rate in rates[:ROWS_MAX]
        ]  # fmt: skip
        _fill(self._table("tags"), rows)

    def _show_readers(self, stats: Stats, cursors: list[dict[str, Any]]) -> None:
        rows: list[tuple[Cell, ...]] = []
        for client in stats.clients:
            name = printable(f"{client['client'] or client['sender']}")
            rows.extend(
                (name, printable(each["cursor"]) or "-", "live" if each["live"] else _right(show_count(each["behind"])))
                for each in client["subscriptions"]
            )
        rows.extend(
            (Text("nobody", style="dim"), printable(cursor["name"]), _right(show_count(cursor["behind"])))
            for cursor in cursors
            if not cursor["in_use"]
        )
        _fill(self._table("readers"), rows[:ROWS_MAX])

    # -- Keys ------------------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        self._is_stopped = not self._is_stopped
        self.notify("stopped: p goes on" if self._is_stopped else "going on", timeout=2)

    def action_sort(self) -> None:
        self._sorted_by = (self._sorted_by + 1) % len(SORTED_BY)
        self.notify(f"sorted by {SORTED_BY[self._sorted_by]}", timeout=2)
        self._show_tags()


def _fill(table: DataTable[Cell], rows: list[tuple[Cell, ...]]) -> None:
    """Put in new rows, and stay where the table was scrolled to."""
    place = table.scroll_y
    table.clear()
    table.add_rows(rows)
    table.scroll_to(y=place, animate=False)


def _right(text: str) -> Text:
    return Text(text, justify="right")


def _number(rate: float) -> Text:
    text = f"{rate:,.0f}".replace(",", " ") if rate >= 100 else f"{rate:.1f}"
    return Text(text, style="dim" if rate < 0.05 else "bold" if rate >= 100 else "", justify="right")


def _facts(stats: Stats, before: Stats | None) -> list[str]:
    log = stats.log
    up_s = max(0.0, (stats.now_ns - stats.started_ns) / NANOSECONDS)
    rate = ""
    if before is not None and stats.now_ns > before.now_ns:
        passed_s = (stats.now_ns - before.now_ns) / NANOSECONDS
        rate = f", {show_count(round((log.end - before.log.end) / passed_s))}/s"
    clients = (
        f"{show_number_of(stats.connections, 'connection')}, {show_number_of(stats.subscriptions, 'subscription')}"
    )
    unsynced = show_number_of(max(log.end - log.synced, 0), "event")
    kept = f"{show_bytes(log.bytes)} {keeping(log)}, {show_bytes(log.free_bytes)} free"
    lines = [
        f"{printable(stats.broker)}  up {show_duration(up_s)}  {clients}",
        f"log  @{log.oldest} to @{log.end}{rate}  {kept}  {unsynced} not synced",
    ]
    if log.damaged:
        lines.append(f"DAMAGE in {show_number_of(len(log.damaged), 'place')}: sylvite status says where")
    return lines


def _master_of(log_folder: str) -> MasterOptions | None:
    """Return the options of the master whose bus it is; None where it is a broker alone."""
    try:
        master, _ = load_nodes()
    except SylviteError:
        return None  # `sylvite doctor` says what is wrong.
    return master.options if master is not None and of_log(master, log_folder) else None


def _minions(master: MasterOptions) -> list[str]:
    try:
        facts = master_facts(master)
    except SylviteError as error:
        return [f"not to be read: {error}"]
    lines = [f"{len(facts.connected)} connected, {len(facts.away)} not here"]
    if facts.away:
        lines.append(f"away: {some(facts.away)}")
    if facts.waiting:
        lines.append(f"keys to be accepted: {some(facts.waiting)}")
    return lines
