"""Retention: which segments may go.  Decides; deletes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sylvite.eventlog.history import Segment

NANOSECONDS = 1_000_000_000


def to_drop(
    segments: Sequence[Segment], *, now_ns: int, keep_bytes: int | None, keep_s: float | None, synced: int
) -> list[Segment]:
    """Return the oldest segments that are beyond a limit, oldest first.

    Never the last one, and none unless an event behind it is synced: else a power cut could leave nothing of the log, as if
    it had been lost.  By age at most one a call: after a jump of the
    clock the operator has time to see what happens (it is called once a minute).  A segment is as old as the one
    behind it was made.
    """
    sealed = [segment for segment in segments[:-1] if segment.next < synced]
    dropped: list[Segment] = []
    if keep_bytes is not None:
        total = sum(segment.size for segment in segments)
        for segment in sealed:
            if total <= keep_bytes:
                break
            dropped.append(segment)
            total -= segment.size
    if keep_s is not None and not dropped and sealed:
        made_behind = segments[1].created_ns
        if now_ns - made_behind > keep_s * NANOSECONDS:
            dropped.append(sealed[0])
    return dropped


def before(segments: Sequence[Segment], offset: int, synced: int) -> list[Segment]:
    """Return the sealed segments that hold only events below `offset`."""
    return [segment for segment in segments[:-1] if segment.next <= min(offset, synced)]
