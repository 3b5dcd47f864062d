"""Origins: how far this log has those of other masters.

Derived from the log: each batch that a stream has brought names its place in the log of its origin, and the message of
the stream that it was in.  So whoever brings them needs nothing else to go on where it was, whenever it is killed.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from sylvite.core.batch import Passage

MARKS_MAX = 65_536
"""Of all origins together: one for each start of each one's broker."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Of the log of `node`, what was written in `epoch` is here below the offset `until`."""

    node: str
    epoch: int
    until: int


class Reached(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of all that: the marks, the one noted last at the end; the stream, and the last message taken of it."""

    marks: list[Mark] = []
    stream: int = 0
    number: int = 0


class Origins:
    def __init__(self, reached: Reached | None = None) -> None:
        reached = reached or Reached()
        self.stream, self.number = reached.stream, reached.number
        self._marks: OrderedDict[tuple[str, int], int] = OrderedDict(
            ((mark.node, mark.epoch), mark.until) for mark in reached.marks
        )

    def note(self, node: str, passage: Passage) -> None:
        """A batch of this origin is in the log."""
        key = (node, passage.epoch)
        self._marks[key] = max(self._marks.get(key, 0), passage.until)
        self._marks.move_to_end(key)
        if passage.stream != self.stream:
            self.stream, self.number = passage.stream, passage.number
        self.number = max(self.number, passage.number)
        if len(self._marks) > MARKS_MAX:
            self._marks.popitem(last=False)

    def until(self, node: str, epoch: int) -> int:
        """Return the offset below which what that origin wrote in this epoch is here; 0 where nothing is known of it."""
        return self._marks.get((node, epoch), 0)

    def snapshot(self) -> Reached:
        return Reached([Mark(*key, until) for key, until in self._marks.items()], self.stream, self.number)


def split_sender(sender: str) -> tuple[str, str]:
    """Return who an event is of that came from another master, and that master."""
    name, _, node = sender.rpartition("@")
    return name, node
