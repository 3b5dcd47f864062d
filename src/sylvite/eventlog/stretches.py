"""Stretches: which part of a source that comes in its order is in the log, where several masters bring parts of it.

A minion that goes from one master to another leaves a hole in the second one's log: what the first has and has not
brought there yet.  It comes later, and must then be told from what both have.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

STRETCHES_MAX = 1024
"""Of one source.  Beyond it the two oldest become one: what is between them counts as taken."""

Stretch = tuple[int, int]
"""From this seq on, to before that one, all that there is of the source is in the log."""


def add(stretches: list[Stretch], first: int, next_: int) -> None:
    """Add one to those that are there, which are in their order and do not touch."""
    begin = bisect_left(stretches, first, key=lambda stretch: stretch[1])
    end = bisect_right(stretches, next_, key=lambda stretch: stretch[0])
    if begin < end:
        first, next_ = min(first, stretches[begin][0]), max(next_, stretches[end - 1][1])
    stretches[begin:end] = [(first, next_)]
    if len(stretches) > STRETCHES_MAX:
        stretches[:2] = [(stretches[0][0], stretches[1][1])]


def overlaps(stretches: list[Stretch], first: int, next_: int) -> bool:
    """Say whether any of what is between these seqs is there."""
    at = bisect_right(stretches, first, key=lambda stretch: stretch[1])
    return at < len(stretches) and stretches[at][0] < next_
