"""Selection: which events of a batch a subscription gets, and the bytes that carry them.

Worked out once for a batch and shared by all subscriptions that want the same of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sylvite.core.batch import Batch
from sylvite.core.event import unpack_data
from sylvite.core.predicate import Predicate
from sylvite.errors import InvalidData


class Selection:
    """One batch, looked at from the side of its readers."""

    __slots__ = ("_cuts", "_data", "_rows", "batch")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._rows: list[list[int]] | None = None
        self._cuts: dict[tuple[int, ...], tuple[bytes, int]] = {}
        self._data: dict[int, Any] = {}

    def with_tags(self, numbers: Sequence[int]) -> tuple[bytes, int]:
        """Return a batch of the events that carry one of these tags (indexes into `batch.tags`), and the offset after
        the last of them.
        """
        batch = self.batch
        if len(numbers) == len(batch.tags):
            return batch.raw, batch.next
        key = tuple(numbers)
        cut = self._cuts.get(key)
        if cut is None:
            rows = self._rows_of(key)
            cut = self._cuts[key] = batch.cut(rows), batch.base + rows[-1] + 1
        return cut

    def some(
        self, numbers: Sequence[int], predicate: Predicate | None, start: int, end: int, now_ns: int
    ) -> tuple[bytes, int] | None:
        """Return a batch of the events with these tags, from offset `start` up to `end`, for which the predicate
        holds, and the offset after the last of them; None where there is none.
        """
        batch = self.batch
        whole = batch.base >= start and batch.next <= end
        if whole and predicate is None and len(numbers) == len(batch.tags):
            return batch.raw, batch.next
        rows = self._rows_of(numbers)
        if not whole:
            rows = [row for row in rows if start <= batch.base + row < end]
        if predicate is not None:
            rows = [row for row in rows if self._holds(predicate, row, now_ns)]
        if not rows:
            return None
        last = batch.base + rows[-1] + 1
        return (batch.raw if len(rows) == batch.count else batch.cut(rows)), last

    def _rows_of(self, numbers: Sequence[int]) -> list[int]:
        if self._rows is None:
            self._rows = [[] for _ in self.batch.tags]
            for row, number in enumerate(self.batch.numbers):
                self._rows[number].append(row)
        if len(numbers) == 1:
            return self._rows[numbers[0]]
        if len(numbers) == len(self._rows):
            return list(range(self.batch.count))
        return sorted(row for number in numbers for row in self._rows[number])

    def _holds(self, predicate: Predicate, row: int, now_ns: int) -> bool:
        batch = self.batch
        if row not in self._data:
            try:
                self._data[row] = unpack_data(batch.packed_data(row)) if predicate.needs_data else None
            except InvalidData:
                # The reader has to hear of it: it gets the event, and finds the same.
                return True
        cause, _ = batch.link(row)
        tag = batch.tags[batch.numbers[row]]
        return predicate.matches(
            tag, self._data[row], batch.stamp_ns, batch.sender, batch.base + row, cause, now_ns
        )  # fmt: skip
