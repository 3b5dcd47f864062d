"""C-03: the connection of a link is cut after each byte of a session, in either direction."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import pytest

from sylvite.core.event import pack_data
from sylvite.link.messages import Down
from sylvite.link.minion_session import PLACES, Arrived, MinionSession
from sylvite.link.uplink import Load, Uplink
from tests.faults.link_controls import answer_before_it_is_stored, believe_what_is_said
from tests.faults.report import control, report
from tests.link.ends import JID, MASTER, MINION, NONCE, NOW_S, let_in

EVENTS = 20
JOBS = 3
EPOCH = 5
ROUNDS_MAX = 200


class Cut(NamedTuple):
    """`up`: bytes that the minion's side gets through; `down`: the master's; None: all of them."""

    up: int | None = None
    down: int | None = None


class Session:
    """A minion with an outbox of EVENTS loads, and its master: everything is said in small turns, until the cut."""

    def __init__(self, bytes_each: int, *, keeps_apart: bool = True) -> None:
        self.uplink = Uplink(MINION, "alpha")
        self.stored: list[int] = []
        self.known: set[tuple[int, int]] = set()
        self.bytes = [0, 0]
        self._keeps_apart = keeps_apart
        self._waiting: deque[Load] = deque(
            Load(EPOCH, offset, pack_data({"tag": "load/one", "data": {"n": offset, "pad": "x" * bytes_each}}))
            for offset in range(EVENTS)
        )
        self._jobs = JOBS
        self.jobs: list[Down] = []

    def connect(self) -> None:
        self.master = MinionSession("master", MASTER.fingerprint, NONCE, let_in, lambda _, jid: jid == JID)
        self.uplink.connect(MASTER.fingerprint)
        self._storing: deque[Arrived] = deque()

    def play(self, cut: Cut) -> bool:
        """Return whether it came to the cut, on one connection."""
        self.connect()
        for number in range(ROUNDS_MAX):
            # A load each few turns, and a job: so that both directions speak at the same time, and `Taken` come one by one.
            if self._waiting and number % 2:
                self.uplink.offer(self._waiting.popleft())
            if number % 7 == 5 and self._jobs and self.master.identity is not None:
                self._jobs -= 1
                self.master.send_down(f"salt/job/{JID}/publish", pack_data({"fun": "test.ping", "jid": JID}))
            if not self._turn(cut):
                self.uplink.lost()
                return True
            if self.is_done():
                return False
        raise AssertionError("it comes to no end")

    def _turn(self, cut: Cut) -> bool:
        down, is_cut = self._through(b"".join(self.master.take_bytes()), 1, cut.down)
        self.uplink.feed(down)
        while self.uplink.downs:
            self.jobs.append(self.uplink.downs.popleft())
        if is_cut:
            return False
        up, is_cut = self._through(b"".join(self.uplink.take_bytes()), 0, cut.up)
        # What was heard a turn ago is stored by now, and what is heard now may die with the link.
        for arrived in self._storing:
            self._keep(arrived)
            self.master.taken(arrived)
        self._storing.clear()
        self.master.feed(up, NOW_S)
        self._storing.extend(self.master.arrived)
        self.master.arrived.clear()
        return not is_cut

    def _through(self, said: bytes, way: int, cut: int | None) -> tuple[bytes, bool]:
        self.bytes[way] += len(said)
        if cut is None or self.bytes[way] < cut:
            return said, False
        return said[: len(said) - (self.bytes[way] - cut)], True

    def _keep(self, arrived: Arrived) -> None:
        """As a broker does: what has the same source and seq is kept once."""
        for block in arrived.blocks:
            key = (arrived.source_epoch, block.seq)
            if key not in self.known or not self._keeps_apart:
                self.known.add(key)
                self.stored.append(block.seq // PLACES)

    def is_done(self) -> bool:
        done = self.uplink.done
        return not self._waiting and done is not None and done.offset == EVENTS - 1


def _cut_everywhere(bytes_each: int, *, each: int = 1, keeps_apart: bool = True, without: str | None = None) -> None:
    """`each`: cut after every so manieth byte."""
    whole = Session(bytes_each, keeps_apart=keeps_apart)
    assert not whole.play(Cut())
    up, down = whole.bytes
    wrong = dict.fromkeys(("lost", "duplicate", "reordered", "not_at_its_end"), 0.0)
    happened = again = 0
    cuts = [
        *(Cut(up=position) for position in range(0, up + 1, each)),
        *(Cut(down=position) for position in range(0, down + 1, each)),
    ]
    for cut in cuts:
        session = Session(bytes_each, keeps_apart=keeps_apart)
        happened += session.play(cut)
        if not session.is_done():
            try:
                again += 1
                session.play(Cut())
            except AssertionError:
                wrong["not_at_its_end"] += 1
        stored = session.stored
        wrong["lost"] += EVENTS - len(set(stored))
        wrong["duplicate"] += len(stored) - len(set(stored))
        wrong["reordered"] += list(dict.fromkeys(stored)) != sorted(set(stored))
    counters = {**wrong, "cuts": happened, "second_connections": again, "bytes_up": up, "bytes_down": down}
    report("C-03", seed=0, runs=len(cuts), counters=counters, target=dict.fromkeys(wrong, 0.0), without=without)
    assert happened >= len(cuts) - 2
    assert again > len(cuts) / 2
    assert len(whole.jobs) == JOBS


def test_a_cut_after_any_byte_loses_and_repeats_nothing() -> None:
    """Each byte of 20 events up and 20 answers and 3 jobs down; what the master has heard and not stored dies with the link."""
    _cut_everywhere(20)


@pytest.mark.long
def test_a_cut_after_any_byte_of_a_long_session() -> None:
    """12,000 of them."""
    _cut_everywhere(560)


def test_a_master_that_keeps_nothing_apart_is_found_out() -> None:
    """Negative control."""
    with control("C-03", without="keeping apart what comes again", match="duplicate"):
        _cut_everywhere(10, each=23, keeps_apart=False, without="keeping apart what comes again")


def test_an_uplink_that_says_nothing_again_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    believe_what_is_said(monkeypatch.setattr)
    with control("C-03", without="saying again", match="lost"):
        _cut_everywhere(10, each=23, without="saying again")


def test_a_master_that_answers_too_early_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    answer_before_it_is_stored(monkeypatch.setattr)
    with control("C-03", without="storing before answering", match="lost"):
        _cut_everywhere(10, each=23, without="storing before answering")
