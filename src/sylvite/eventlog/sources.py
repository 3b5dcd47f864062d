"""Sources: which publisher has published up to where, so that a retry is answered and not appended again.

Derived from the log: every batch names its source epoch and seq. A snapshot is kept with each sealed segment, so that
opening a log reads one of them and the last segment.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import msgspec

from sylvite.core.batch import Batch

SOURCES_MAX = 16_384
BATCHES_PER_SOURCE_MAX = 128


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """A batch that is in the log already."""

    seq: int
    count: int
    base: int
    epoch: int

    @property
    def next(self) -> int:
        return self.base + self.count


Key = tuple[str, int]


class Sources:
    """The latest batches of the latest publishers, by (sender, source epoch)."""

    def __init__(self) -> None:
        self._recent: OrderedDict[Key, deque[Taken]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._recent)

    def note(self, batch: Batch) -> None:
        if not batch.count:
            return
        key = (batch.sender, batch.source_epoch)
        recent = self._recent.get(key)
        if recent is None:
            recent = self._recent[key] = deque(maxlen=BATCHES_PER_SOURCE_MAX)
            if len(self._recent) > SOURCES_MAX:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(key)
        recent.append(Taken(batch.source_seq, batch.count, batch.base, batch.epoch))

    def find(self, sender: str, source_epoch: int, seq: int) -> Taken | None:
        """Return the batch that begins with this seq, if it is remembered."""
        for taken in reversed(self._recent.get((sender, source_epoch), ())):
            if taken.seq == seq:
                return taken
        return None

    def next_seq(self, sender: str, source_epoch: int) -> int:
        """Return the seq that this source has not used yet; 0 for a new one."""
        recent = self._recent.get((sender, source_epoch))
        return recent[-1].seq + recent[-1].count if recent else 0

    def forget_from(self, offset: int) -> None:
        """Forget the batches at `offset` and behind: they were cut off."""
        for key in list(self._recent):
            recent = self._recent[key]
            while recent and recent[-1].base >= offset:
                recent.pop()
            if not recent:
                del self._recent[key]

    def snapshot(self) -> list[tuple[str, int, list[Taken]]]:
        return [(sender, epoch, list(recent)) for (sender, epoch), recent in self._recent.items()]

    def restore(self, snapshot: list[tuple[str, int, list[Taken]]]) -> None:
        """Take a snapshot as what came before everything noted so far."""
        newer = self._recent
        self._recent = OrderedDict(
            ((sender, epoch), deque(recent, maxlen=BATCHES_PER_SOURCE_MAX)) for sender, epoch, recent in snapshot
        )
        for key, recent in newer.items():
            self._recent.setdefault(key, deque(maxlen=BATCHES_PER_SOURCE_MAX)).extend(recent)
            self._recent.move_to_end(key)
