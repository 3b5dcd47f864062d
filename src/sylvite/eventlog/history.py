"""History: the segments of a log, and reading them.  Writes nothing; `EventLog` adds the writing."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.errors import NoSuchOffset, OffsetGone
from sylvite.eventlog.index import Index, load_summary
from sylvite.eventlog.segment import START, Damage, Scanned, SegmentHeader, scan
from sylvite.eventlog.storage import File, Storage

OPEN_FILES_MAX = 64


class Segment:
    """One file of the log.  `size`: bytes up to where batches may lie.  `next` is kept by the History."""

    __slots__ = ("base", "created_ns", "epoch", "file", "index", "name", "next", "size")

    def __init__(self, name: str, header: SegmentHeader, size: int, file: File | None = None) -> None:
        self.name = name
        self.base, self.next = header.base, header.base
        self.epoch, self.created_ns = header.epoch, header.created_ns
        self.size = size
        self.file = file
        self.index: Index | None = None

    @property
    def held(self) -> range:
        """The offsets of its events, as far as they are whole."""
        return range(self.base, self.next)


class History:
    """The readable part of a log.

    `oldest`: the first offset held; `end`: the next one to be written.
    """

    def __init__(self, storage: Storage, log_id: str, segments: list[Segment], end: int) -> None:
        self.storage = storage
        self.log_id = log_id
        self.segments = segments
        self.end = end
        self.damages: dict[tuple[str, int], Gap] = {}
        """What reading found damaged, by segment and position; `EventLog` reports it once."""
        self._tail: deque[Batch] = deque()
        self._open: deque[Segment] = deque()
        for segment, following in pairwise(segments):
            segment.next = following.base
        if segments:
            segments[-1].next = end

    @property
    def oldest(self) -> int:
        return self.segments[0].base if self.segments else self.end

    @property
    def epoch(self) -> int:
        return self.segments[-1].epoch if self.segments else 0

    def segment_of(self, offset: int) -> Segment | None:
        """Return the segment that holds `offset`, or None where none does."""
        at = bisect_right(self.segments, offset, key=lambda segment: segment.base) - 1
        if at < 0 or offset >= self.end:
            return None
        return self.segments[at]

    def epoch_before(self, offset: int) -> int:
        """Return the epoch of the event before `offset`: what a reader presents to resume there.  0: there is none.

        Where retention took that event, it is the epoch from the oldest one on: so that a reader that begins there can be
        told, too, when this log becomes another.
        """
        segment = self.segment_of(offset - 1)
        if segment is None and 0 < offset == self.oldest and self.segments:
            segment = self.segments[0]
        return segment.epoch if segment is not None else 0

    def _is_at(self, epoch: int, offset: int) -> bool:
        """Say whether a reader in that epoch may be at `offset`: behind an event of it, or before its first one."""
        following = self.segment_of(offset)
        return epoch == self.epoch_before(offset) or (following is not None and epoch == following.epoch)

    def resume(self, epoch: int, offset: int) -> tuple[int, Gap | None]:
        """Return where a reader goes on that has seen everything below `offset`, the last of it in `epoch`.

        Where this log is not the one it read (wiped, or restored from a copy), a Gap says so, and reading goes on
        where the histories part: behind that epoch if this log knows it, else at the oldest event.
        """
        if offset <= 0:
            return 0, None
        if offset <= self.end and (epoch == 0 or offset <= self.oldest or self._is_at(epoch, offset)):
            return offset, None
        behind = [segment.next for segment in self.segments if epoch and segment.epoch == epoch]
        start = min(behind[-1], self.end) if behind else self.oldest
        here = self.epoch_before(min(offset, self.end)) or self.epoch
        has = f"has epoch {here:016x} there" if offset <= self.end else f"ends before @{self.end}, in epoch {here:016x}"
        detail = f"the reader was at @{offset} of epoch {epoch:016x}; this log {has}"
        return start, Gap(offset, start, "reset", None, detail)

    def offset_at(self, stamp_ns: int) -> int:
        """Return the offset of the first event taken at `stamp_ns` or later; `end` if there is none."""
        # From the oldest on: where the clock has jumped back, a later segment may say an earlier time.
        at = 0
        while at + 1 < len(self.segments) and self.segments[at + 1].created_ns < stamp_ns:
            at += 1
        for segment in self.segments[at:]:
            position = self._index(segment).position_at(stamp_ns, START)
            for found in self.read_segment(segment, position):
                if isinstance(found, Scanned) and found.batch.count and found.batch.stamp_ns >= stamp_ns:
                    return max(found.batch.base, segment.base)
        return self.end

    def reader(self, start: int) -> LogReader:
        return LogReader(self, start)

    def batch_at(self, offset: int) -> Batch:
        """Return the batch that holds an offset.

        Raises:
            OffsetGone, NoSuchOffset: retention took it; it is not written yet.
        """
        if offset >= self.end or offset < 0:
            raise NoSuchOffset(offset, self.end)
        if offset < self.oldest:
            raise OffsetGone(offset, self.oldest)
        first = self.reader(offset).read(1, offset + 1)[0]
        if isinstance(first, Gap):
            raise NoSuchOffset(offset, self.end)
        return first

    def close(self) -> None:
        for segment in self.segments:
            self._close_file(segment)
        self.storage.close()

    # -- For readers -------------------------------------------------------------------------------------------

    def tail_from(self, offset: int, bytes_max: int, end: int) -> list[Batch] | None:
        """Return batches from memory, or None where `offset` is not there."""
        tail = self._tail
        if not tail or tail[0].base > offset:
            return None
        found: list[Batch] = []
        if offset >= tail[-1].base:
            candidates = [tail[-1]]
        else:
            first = len(tail) - 1
            while tail[first].base > offset:
                first -= 1
            candidates = [tail[at] for at in range(first, len(tail))]
        size = 0
        for batch in candidates:
            if batch.base >= end or (found and size + len(batch.raw) > bytes_max):
                break
            if batch.next > offset:
                found.append(batch)
                size += len(batch.raw)
        return found

    def position_in(self, segment: Segment, offset: int) -> int:
        return self._index(segment).position_of(offset, START)

    def place_after(self, segment: Segment, position: int) -> tuple[int, int]:
        """Return the next place behind a position that the index knows, as position and offset; else the end."""
        entry = self._index(segment).after(position)
        return (segment.size, segment.next) if entry is None else (entry.position, entry.offset)

    def read_segment(self, segment: Segment, position: int) -> Iterator[Scanned | Damage]:
        return scan(self._file(segment), segment.epoch, position, segment.size, held=segment.held)

    def _file(self, segment: Segment) -> File:
        if segment.file is None:
            segment.file = self.storage.open(segment.name)
            self._open.append(segment)
            if len(self._open) > OPEN_FILES_MAX:
                self._close_file(self._open[0])
        return segment.file

    def _close_file(self, segment: Segment) -> None:
        if segment in self._open:
            self._open.remove(segment)
        if segment.file is not None:
            file, segment.file = segment.file, None
            self._let_go(file)

    def _let_go(self, file: File) -> None:
        file.close()

    def _index(self, segment: Segment) -> Index:
        if segment.index is None:
            summary = load_summary(self.storage, segment.name, segment.size)
            if summary is not None:
                segment.index = Index(summary.entries)
            else:
                segment.index = Index()
                try:
                    for found in self.read_segment(segment, START):
                        if isinstance(found, Scanned):
                            segment.index.note(found.batch, found.position)
                except OSError as error:
                    if error.errno != errno.EIO:
                        segment.index = None
                        raise
                    # A reader that comes there gets a gap; up to there the index is good.
        return segment.index


class LogReader:
    """A place in a log that moves forward.  `next` is the offset that the next read begins at."""

    def __init__(self, history: History, start: int) -> None:
        self._history = history
        self.next = start
        self._segment: Segment | None = None
        self._position: int = 0

    def seek(self, offset: int) -> None:
        """Go on at another offset."""
        self.next, self._segment = offset, None

    def read(self, bytes_max: int, end: int) -> list[Batch | Gap]:
        """Return what lies from `next` up to `end`, about `bytes_max` of it, and move behind it.

        At least one item if there is one.  A batch may begin before `next` or go beyond `end`: the caller cuts it.
        Where events are missing a Gap stands in their place; it never covers offsets outside of `next` to `end`.
        """
        history = self._history
        if self.next < history.oldest:
            first, self.next = self.next, history.oldest
            return [Gap(first, self.next, "retention", self.next - first)]
        if self.next >= end:
            return []
        from_memory = history.tail_from(self.next, bytes_max, end)
        if from_memory:
            self._segment = None
            self.next = from_memory[-1].next
            return list(from_memory)
        return self._from_disk(bytes_max, end)

    def _from_disk(self, bytes_max: int, end: int) -> list[Batch | Gap]:
        history = self._history
        segment = history.segment_of(self.next)
        assert segment is not None, "the end of a read is never behind the log's"
        if segment is not self._segment:
            self._segment, self._position = segment, history.position_in(segment, self.next)
        found: list[Batch | Gap] = []
        try:
            self._read_on(segment, bytes_max, end, found)
        except OSError as error:
            # What was found before it is good, and the next read comes here again.
            if not found:
                if error.errno != errno.EIO:
                    raise
                found.append(self._unreadable(segment, end))
        return found

    def _read_on(self, segment: Segment, bytes_max: int, end: int, found: list[Batch | Gap]) -> None:
        size = 0
        for item in self._history.read_segment(segment, self._position):
            if isinstance(item, Damage):
                self._position = item.end
                continue
            batch = item.batch
            if batch.base >= end or size >= bytes_max:
                break
            self._position = item.position + len(batch.raw)
            if batch.next <= self.next:
                continue
            if batch.base > self.next:
                found.append(self._missing(segment, item.position, batch.base))
            found.append(batch)
            size += len(batch.raw)
            self.next = batch.next
        else:
            if self.next < min(end, segment.next):
                found.append(self._missing(segment, segment.size, min(end, segment.next)))
                self.next = min(end, segment.next)
        if not found:
            found.append(self._missing(segment, self._position, min(end, segment.next)))
            self.next = min(end, segment.next)

    def _unreadable(self, segment: Segment, end: int) -> Gap:
        """Skip to the next place in a segment that the index knows; the disk does not give what is before it."""
        position, until = self._history.place_after(segment, self._position)
        until = min(until, segment.next, end)
        gap = self._missing(segment, position, until)
        self.next, self._segment = until, None
        return gap

    def _missing(self, segment: Segment, position: int, until: int) -> Gap:
        detail = f"{segment.name} is damaged before byte {position}"
        gap = Gap(self.next, until, "damage", until - self.next, detail)
        self._history.damages.setdefault((segment.name, self.next), gap)
        return gap
