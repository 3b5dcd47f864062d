"""Sources: what each publisher has in the log already, so that a retry is answered and not appended again.

Derived from the log: every batch names its source epoch and seq. A snapshot is kept with each sealed segment, so that
opening a log reads one of them and the last segment.

What minions send comes in its order, and nothing of it is stored before what it follows (broker/intake.py).  So of such a
source the last run is enough: what is before it was taken.  Thousands of minions would else make each other forgotten.
Only where a minion has been with other masters there is a hole before it: so stretches are kept of it (stretches.py).

What a stream has brought from another master is known by its place in that one's log (origins.py), and what minions have
sent there by their own seq as well: the minion may have said it here, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict

import msgspec

from sylvite.core.batch import Passage
from sylvite.eventlog import stretches
from sylvite.eventlog.origins import Origins, Reached, split_sender
from sylvite.eventlog.stretches import Stretch

SOURCES_MAX = 16_384
RUNS_PER_SOURCE_MAX = 1024
RUNS_MAX = 131_072
"""Of all sources together: at most some 20 MiB."""


def comes_in_order(sender: str) -> bool:
    """Say whether what is said again is all that was not taken, from the first of it on: as a minion's end of the link does."""
    return sender.startswith("minion:")


class Run(msgspec.Struct, array_like=True):
    """Events of one source that follow each other both in seq and in offset."""

    seq: int
    count: int
    base: int
    epoch: int


class Taken(msgspec.Struct, frozen=True):
    """Where a block is in the log already."""

    base: int
    next: int
    epoch: int


Key = tuple[str, int]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    runs: list[tuple[str, int, list[Run]]] = []
    stretches: list[tuple[str, int, list[Stretch]]] = []
    reached: Reached = Reached()


_NOTHING = Snapshot()


class Sources:
    """The latest runs of the latest publishers, by (sender, source epoch); `snapshot` is what to begin with.

    `complete`: no publisher was ever forgotten, so that one which is not here has nothing in the log.
    """

    def __init__(self, snapshot: Snapshot | None = None, *, complete: bool = False) -> None:
        self.complete = complete
        snapshot = snapshot or _NOTHING
        self.origins = Origins(snapshot.reached)
        self._runs: OrderedDict[Key, list[Run]] = OrderedDict(
            ((sender, epoch), runs) for sender, epoch, runs in snapshot.runs
        )
        self._stretches = {(sender, epoch): found for sender, epoch, found in snapshot.stretches}
        self._count = sum(map(len, self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)

    def note(
        self,
        sender: str,
        source_epoch: int,
        seq: int,
        count: int,
        base: int,
        epoch: int,
        passage: Passage | None = None,
    ) -> None:
        """These events are in the log, from offset `base` on, written in that epoch of the log."""
        if passage is not None and passage.is_from_master:
            sender, node = split_sender(sender)
            self.origins.note(node, passage)
            if not comes_in_order(sender):
                return
        if not count:
            return
        key = (sender, source_epoch)
        if comes_in_order(sender):
            first, next_ = (passage.first, passage.next) if passage is not None and passage.next else (0, seq + count)
            stretches.add(self._stretches.setdefault(key, []), first, next_)
        runs = self._runs.get(key)
        if runs is None:
            runs = self._runs[key] = []
            if seq and self.complete:
                # An empty run: what is between it and this one was never taken.  It is forgotten like any other.
                runs.append(Run(0, 0, 0, 0))
                self._count += 1
        else:
            self._runs.move_to_end(key)
        if runs:
            last = runs[-1]
            if last.seq + last.count == seq and last.base + last.count == base and last.epoch == epoch:
                last.count += count
                return
        run = Run(seq, count, base, epoch)
        if runs and seq < runs[-1].seq:
            runs.insert(bisect_right(runs, seq, key=lambda other: other.seq), run)
        else:
            runs.append(run)
        self._count += 1
        most = 1 if comes_in_order(sender) else RUNS_PER_SOURCE_MAX
        while len(runs) > most:
            del runs[0]
            self._count -= 1
        while self._count > RUNS_MAX or len(self._runs) > SOURCES_MAX:
            self.complete = False
            forgotten, of_it = self._runs.popitem(last=False)
            self._stretches.pop(forgotten, None)
            self._count -= len(of_it)

    def find(
        self, sender: str, source_epoch: int, seq: int, count: int, passage: Passage | None = None
    ) -> Taken | None:
        """Return where these events are in the log; None where they are not, as far as is remembered."""
        if passage is not None and passage.is_from_master:
            return None  # Nobody asks: whoever brings them has their place in another log.
        runs = self._runs.get((sender, source_epoch), [])
        at = bisect_right(runs, seq, key=lambda run: run.seq) - 1
        if at < 0 or seq + count > runs[at].seq + runs[at].count:
            return None
        base = runs[at].base + seq - runs[at].seq
        return Taken(base, base + count, runs[at].epoch)

    def is_new(self, sender: str, source_epoch: int, seq: int, count: int, passage: Passage | None = None) -> bool:
        """Say whether none of these events can be in the log.

        Sure for what is behind everything that is known of this source, and for a hole in it; not for what is before
        the first run that is remembered.
        """
        if passage is not None and passage.is_from_master:
            sender, node = split_sender(sender)
            if passage.until <= self.origins.until(node, passage.epoch):
                return False
            return not comes_in_order(sender) or not self._has(sender, source_epoch, seq, count)
        if comes_in_order(sender):
            return not self._has(sender, source_epoch, seq, count)
        runs = self._runs.get((sender, source_epoch))
        if not runs or seq >= runs[-1].seq + runs[-1].count:
            return True
        at = bisect_right(runs, seq, key=lambda run: run.seq) - 1
        free_up_to = runs[at + 1].seq if at + 1 < len(runs) else None
        if free_up_to is not None and seq + count > free_up_to:
            return False
        return at >= 0 and seq >= runs[at].seq + runs[at].count

    def _has(self, sender: str, source_epoch: int, seq: int, count: int) -> bool:
        return stretches.overlaps(self._stretches.get((sender, source_epoch), []), seq, seq + count)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            [(sender, epoch, runs) for (sender, epoch), runs in self._runs.items()],
            [(sender, epoch, found) for (sender, epoch), found in self._stretches.items()],
            self.origins.snapshot(),
        )
