"""Scrub: sealed segments are read again, slowly, so that damage is known while there may still be a copy to restore from.

Without it, what a disk has lost is found by the reader who needs it.  Each round reads every sealed segment from the
disk, not from what the system holds in memory, and checks every byte; what is found is told as a reader would be told
of it.  Nothing is changed.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator

from sylvite.core.event import Gap
from sylvite.errors import InvalidSetting, LogNotUnderstood
from sylvite.eventlog.history import History, Segment
from sylvite.eventlog.segment import START, Damage, Scanned, decode_header, scan
from sylvite.eventlog.storage import File, Storage

FIRST_AFTER_S = 60.0
"""A node that starts has other things to do."""
PIECE_BYTES_MIN = 16 * 1024
PIECE_BYTES_MAX = 256 * 1024
"""Read and checked at a time: about a millisecond, in which the thread of the broker may have to wait."""


class SegmentCheck:
    """The reading of one sealed segment, a piece with each `run`.

    `next` and `position`: the offset and the byte behind what has been read.  `read_bytes`: how much the latest `run` has
    read.  `found`: the gaps, of which those without events are of bytes that held none.
    """

    def __init__(self, storage: Storage, segment: Segment) -> None:
        self.segment = segment
        self.next, self.position = segment.base, START
        self.read_bytes = 0
        self.found: list[Gap] = []
        self.is_done = False
        self._storage = storage
        # As they are now: this runs in another thread than what changes them.
        self._name, self._epoch, self._size, self._end = segment.name, segment.epoch, segment.size, segment.next
        self._file: File | None = None
        self._items: Iterator[Scanned | Damage] | None = None

    def run(self, bytes_max: int) -> None:
        """Read about so many bytes.  It blocks, and may run in another thread than the log.

        Raises:
            OSError: what is behind `position` cannot be read.
        """
        first = self.position
        try:
            self._read(first + bytes_max)
        except (LogNotUnderstood, InvalidSetting) as error:
            self._note(self._end, str(error))
            self.is_done = True
        finally:
            self.read_bytes = self.position - first

    def _read(self, until: int) -> None:
        if self._items is None:
            self._open()
            self._items = self._scan()
        for item in self._items:
            if isinstance(item, Damage):
                self.position = item.end
                # What was in it shows by what comes behind it; that there was no event, too.
                self._note(self.next, f"{self._name} is damaged before byte {item.end}")
                continue
            if item.batch.base > self.next:
                self._note(item.batch.base, f"{self._name} is damaged before byte {item.position}")
            self.next = max(self.next, item.batch.next)
            self.position = item.position + len(item.batch.raw)
            if self.position >= until:
                return
        if self.next < self._end:
            self._note(self._end, f"{self._name} is damaged before byte {self._size}")
        self.is_done = True

    def _open(self) -> None:
        if self._file is None:
            self._file = self._storage.open(self._name)
            self._file.forget()
            if decode_header(self._file.read_at(0, START), self._name) is None:
                self._note(self.next, f"the header of {self._name} is damaged")

    def _scan(self) -> Iterator[Scanned | Damage]:
        assert self._file is not None
        return scan(self._file, self._epoch, self.position, self._size, held=range(self.next, self._end))

    def _note(self, until: int, detail: str) -> None:
        """Something before offset `until` is damaged.  Of bytes, and of the events in them, one is told: the events."""
        if self.found and self.found[-1].next == self.found[-1].first == self.next < until:
            self.found.pop()
        self.found.append(Gap(self.next, until, "damage", until - self.next, detail))

    def skip(self, position: int, offset: int, why: str) -> None:
        """Go on there; what is before it cannot be read."""
        self._note(offset, f"{self._name} cannot be read before byte {position}: {why}")
        self.position, self.next, self._items = position, offset, None
        self.is_done = position >= self._size

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Scrub:
    """Rounds over the sealed segments of a log.  `now_s` is of a clock that never jumps.

    `every_s`: from the end of one round to the next; None: never.  `rate_bytes`: at most so many a second.
    `rounds`, `finished_ns`: rounds that are done, and when the latest was.  `bytes`: read so far.
    """

    def __init__(self, log: History, every_s: float | None, rate_bytes: int, now_s: float) -> None:
        self.every_s, self.rate_bytes = every_s, rate_bytes
        self.rounds = self.bytes = 0
        self.finished_ns: int | None = None
        self._log = log
        self._check: SegmentCheck | None = None
        self._waiting: deque[Segment] = deque()
        self._due_s = now_s + min(FIRST_AFTER_S, every_s or 0)
        self._last_s = now_s
        self._is_running = False

    def job(self, now_s: float) -> Callable[[], None] | None:
        """Return what is to be run in another thread now, and then `done`; or None."""
        if self.every_s is None or self._is_running:
            return None
        if self._check is None and not self._next_segment(now_s):
            return None
        allowed = min(int((now_s - self._last_s) * self.rate_bytes), PIECE_BYTES_MAX)
        if allowed < min(PIECE_BYTES_MIN, self.rate_bytes):
            return None
        self._last_s, self._is_running = now_s, True
        check = self._check
        assert check is not None
        return lambda: check.run(allowed)

    def _next_segment(self, now_s: float) -> bool:
        if not self._waiting:
            if now_s < self._due_s:
                return False
            self._waiting.extend(self._log.segments[:-1])
            if not self._waiting:
                return False
            self._last_s = now_s
        self._check = SegmentCheck(self._log.storage, self._waiting.popleft())
        return True

    def done(self, error: OSError | None, now_ns: int, now_s: float) -> list[tuple[str, Gap]]:
        """The job has ended, with that error; return the damage that it found: the names of segments, and gaps."""
        self._is_running = False
        check = self._check
        if check is None:
            return []
        self.bytes += check.read_bytes
        goes_on = error is None or self._go_on_behind(check, error)
        found, check.found = check.found, []
        segment = check.segment
        if check.is_done or not goes_on:
            self.close()
            if not self._waiting:
                self.rounds += 1
                self.finished_ns, self._due_s = now_ns, now_s + (self.every_s or 0)
        if segment not in self._log.segments:
            return []  # Retention took it meanwhile.
        return [(segment.name, gap) for gap in found if gap.next <= segment.next]

    def _go_on_behind(self, check: SegmentCheck, error: OSError) -> bool:
        """Say whether a segment that cannot be read at its place can be read on behind that."""
        if error.errno != errno.EIO or check.segment not in self._log.segments:
            return False  # No file left to open, say: it is read in the next round.
        try:
            position, offset = self._log.place_after(check.segment, check.position)
        except OSError:
            return False
        check.skip(position, offset, error.strerror or str(error))
        return True

    def close(self) -> None:
        """Let go of the file that is read."""
        if self._check is not None:
            self._check.close()
            self._check = None
