"""B-09: the log under readers and publishers becomes another: wiped, restored from an older copy, or strange."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import msgspec
import pytest

from sylvite.client.sync_client import Client
from sylvite.client.sync_subscription import Subscription
from sylvite.client.ticket import Published
from sylvite.core.event import Gap, Position
from sylvite.errors import AckTimeout, AckUnknown
from tests.faults.changed_logs import CURSOR, SETTINGS, Logs
from tests.faults.consumer_view import Content, View
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.proc import go_on, stop
from tests.faults.report import report

EPOCH = re.compile(r"\b[0-9a-f]{16}\b")
SOON_S = 0.05
WITHIN_S = 60.0
POSITIONS = (30, 40, 60, 90, 100)
NEWER_CURSORS = "early, with newer cursors"
"""A broker starts on such a log only where its operator accepts the loss; then what the cursors prove to have been there
is a gap, of damage, and the offsets go on behind it."""
FATES = ("restart", "wiped", "early", "middle", "snapshot", "strange", NEWER_CURSORS, "middle, then early")
GROWTH = ("none", "some", "to the former end", "beyond it")
BEYOND = 250
RETRIED, NEW = 1002, 1004


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture(scope="module")
def logs(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    return Logs(forks, tmp_path_factory.mktemp("b09"))


class Log(msgspec.Struct):
    """A log as it is in the end, its gaps and epochs, and the epochs of the one that was there before."""

    content: Content
    gaps: list[Gap]
    epochs: set[int]
    former_epochs: set[int]


def _names_epochs(gap: Gap, log: Log) -> bool:
    """Say whether a reset names two epochs: the reader's, and one of this log."""
    named = [int(text, 16) for text in EPOCH.findall(gap.detail)]
    return len(named) == 2 and named[0] in log.former_epochs and named[1] in log.epochs


class Found(msgspec.Struct):
    """What is wrong, over all cases.  `untold`: a reader whose history is gone was told nothing, or another was told so."""

    false: int = 0
    missed: int = 0
    other_gaps: int = 0
    untold: int = 0
    without_epochs: int = 0
    published_wrong: int = 0
    resets: int = 0
    readers: int = 0

    def judge(self, view: View, log: Log, *, due: bool) -> None:
        """`due`: it must have been told that its history is gone."""
        self.readers += 1
        self.false += view.false(log.content)
        self.missed += view.missed(log.content) + (not view.has_ended)
        self.other_gaps += sum(gap not in log.gaps for gap in view.other_gaps)
        self.untold += due != bool(view.resets)
        self.without_epochs += sum(not _names_epochs(gap, log) for gap in view.resets)
        self.resets += len(view.resets)


class Case:
    """One fate of the log, with readers of every kind and a publisher that were there before."""

    def __init__(self, forks: Forks, logs: Logs, folder: Path, within_s: float, without: str | None) -> None:
        self.forks, self.logs, self.folder, self.within_s = forks, logs, folder, within_s
        self.socket = folder / "bus.sock"
        self._without = without
        self._stack = ExitStack()

    def _start(self, *, accept_loss: bool = False) -> Started:
        started = self.forks.start(Start(str(self.folder), SETTINGS, accept_loss=accept_loss, without=self._without))
        assert started.ready, broker_output(self.folder)
        return started

    def _client(self) -> Client:
        return self._stack.enter_context(Client.connect(self.socket, reconnect_s=self.within_s))

    def run(self, fate: str, growth: str, found: Found) -> None:
        """Let it happen, and add what is wrong to `found`."""
        shutil.copytree(self.logs.folders["full"], self.folder / "log")
        with self._stack:
            broker = self._start()
            publisher = self._client()
            unknown = self._publish_before(publisher, broker)
            live = self._live_readers()
            resuming = _positions(live[0][0])
            former_end = int(publisher.ask("log")["end"])
            former_epochs = {publisher.welcome.epoch, *(epoch for epoch, _ in live[0][0].known.values())}
            self.forks.kill(broker.pid)
            self._change(fate)
            broker = self._start(accept_loss=fate == NEWER_CURSORS)
            with_cursor, cursor_at = View("a cursor"), self._cursor()
            again = self._publish_after(publisher, unknown, growth, former_end)
            log = self._read(former_epochs)
            for view, subscription in live:
                due = not view.is_history_of(log.content)
                view.read_to_end(subscription, self.within_s)
                found.judge(view, log, due=due)
            for view, position in resuming:
                due = not view.is_history_of(log.content)
                view.read_to_end(self._client().subscribe("load/", since=position, on_gap=view.gap), self.within_s)
                found.judge(view, log, due=due)
            with_cursor.start = 0 if fate == NEWER_CURSORS else cursor_at
            subscription = self._client().subscribe("load/", since="oldest", cursor=CURSOR, on_gap=with_cursor.gap)
            with_cursor.read_to_end(subscription, self.within_s)
            found.judge(with_cursor, log, due=fate == NEWER_CURSORS)
            for published, number in zip(again, (RETRIED, NEW), strict=True):
                places = [(offset, epoch) for offset, (epoch, n) in log.content.items() if n == number]
                found.published_wrong += places != [(published.offset, published.epoch)]
        self.forks.kill(broker.pid)
        assert "Traceback" not in broker_output(self.folder), broker_output(self.folder)

    # -- Before ------------------------------------------------------------------------------------------------------

    def _live_readers(self) -> list[tuple[View, Subscription]]:
        """Of everything; of some tags; with a cursor that is not everywhere acknowledged.  All have read on."""
        everything, some, cursor = View("live"), View("live, some tags", remainder=1), View("live, with a cursor")
        all_of_it = self._client().subscribe("load/", since="oldest", on_gap=everything.gap)
        some_of_it = self._client().subscribe("load/1", "load/end", since="oldest", on_gap=some.gap)
        kept = self._client().subscribe("load/", since="oldest", cursor="live", ack="manual", on_gap=cursor.gap)
        everything.read(all_of_it, 100, self.within_s)
        some.read(some_of_it, 50, self.within_s)
        kept.ack(cursor.read(kept, 60, self.within_s))
        cursor.read(kept, 40, self.within_s)
        return [(everything, all_of_it), (some, some_of_it), (cursor, kept)]

    def _publish_before(self, publisher: Client, broker: Started) -> AckUnknown:
        """Return what the publisher got no answer for in time; it is in the log all the same."""
        publisher.publish("load/0", {"n": 1000})
        stop(broker.pid)
        with pytest.raises(AckTimeout) as caught:
            publisher.publish("load/0", {"n": RETRIED}, timeout_s=SOON_S)
        go_on(broker.pid)
        publisher.retry(caught.value, timeout_s=WITHIN_S)
        return caught.value

    # -- The change, and after it ------------------------------------------------------------------------------------

    def _change(self, fate: str) -> None:
        log = self.folder / "log"
        match fate:
            case "restart":
                return
            case "wiped":
                self.logs.put(None, log)
            case _ if fate == NEWER_CURSORS:
                self.logs.put("early", log)
                shutil.copy(self.logs.folders["full"] / "cursors", log / "cursors")
            case "middle, then early":
                self.logs.put("middle", log)
                broker = self._start()
                with Client.connect(self.socket) as client:
                    client.publish("load/0", {"n": 3000})
                self.forks.kill(broker.pid)
                self.logs.put("early", log)
            case name:
                self.logs.put(name, log)

    def _cursor(self) -> int:
        with Client.connect(self.socket) as client:
            known = {cursor["name"]: cursor["offset"] for cursor in client.ask("cursors")["cursors"]}
        return known.get(CURSOR, 0)

    def _publish_after(self, publisher: Client, unknown: AckUnknown, growth: str, former_end: int) -> list[Published]:
        """Let the log grow; return what the publisher was answered: to what it tries again, and to a new event."""
        again = [
            publisher.retry(unknown, timeout_s=WITHIN_S),
            publisher.publish("load/0", {"n": NEW}, timeout_s=WITHIN_S),
        ]
        with Client.connect(self.socket) as client:
            missing = max(former_end - 1 - int(client.ask("log")["end"]), 0)
            count = {"none": 0, "some": 7, "to the former end": missing, "beyond it": missing + BEYOND}[growth]
            client.publish_many((f"load/{n % 2}", {"n": n}) for n in range(5000, 5000 + count))
            client.publish("load/end")
        return again

    def _read(self, former_epochs: set[int]) -> Log:
        with Client.connect(self.socket) as client:
            gaps: list[Gap] = []
            events = list(client.subscribe("load/", since="oldest", until_end=True, on_gap=gaps.append))
            epochs = {client.welcome.epoch, *(event.epoch for event in events)}
        content: Content = {
            int(event.offset): (event.epoch, event.data["n"]) for event in events if event.tag != "load/end"
        }
        return Log(content, gaps, epochs, former_epochs)


def _positions(view: View) -> list[tuple[View, Position]]:
    """Readers that keep for themselves how far they were: somewhere in what that one has read."""
    found: list[tuple[View, Position]] = []
    for count in POSITIONS:
        resumed = View(f"at @{count}")
        resumed.known = {offset: seen for offset, seen in view.known.items() if offset < count}
        last = max(resumed.known)
        found.append((resumed, Position(view.known[last][0], last)))
    return found


def _change_logs(
    forks: Forks, logs: Logs, folder: Path, cases: list[tuple[str, str]], *, within_s: float = WITHIN_S,
    without: str | None = None,
) -> None:  # fmt: skip
    found = Found()
    for number, (fate, growth) in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        Case(forks, logs, place, within_s, without).run(fate, growth, found)
    target = {name: 0.0 for name in Found.__struct_fields__ if name not in ("resets", "readers")}
    report("B-09", seed=0, runs=len(cases), counters=msgspec.to_builtins(found), target=target, without=without)
    assert found.resets


def test_readers_of_a_log_that_has_become_another_are_told_so(
    forks: Forks, logs: Logs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """32 cases: reset, with both epochs, for whoever had read what is gone, and for nobody else; nothing false is left."""
    _change_logs(forks, logs, tmp_path_factory.mktemp("b09"), list(product(FATES, GROWTH)))


def test_readers_that_are_not_told_are_found_out(
    forks: Forks, logs: Logs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control: a broker that believes an offset without looking at the epoch."""
    with pytest.raises(AssertionError, match='"row": "B-09"'):
        _change_logs(
            forks, logs, tmp_path_factory.mktemp("b09"), [("early", "beyond it")], within_s=1.0,
            without="looking at epochs",
        )  # fmt: skip
