"""EventLog: append, sync, roll, retain.  One process owns a log; one thread calls it, but for `SyncJob.run`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

import msgspec

from sylvite.core.batch import Batch, Passage, encode_batch
from sylvite.core.block import EMPTY_BLOCK
from sylvite.core.event import Gap
from sylvite.errors import DiskFull, EventLogError, LogFailed, LogInUse, NoSuchCursor
from sylvite.eventlog import retention
from sylvite.eventlog.checksum import sealed
from sylvite.eventlog.cursors import Cursors
from sylvite.eventlog.history import History, Segment
from sylvite.eventlog.index import Index, Summary, index_name, save_summary
from sylvite.eventlog.meta import read_or_make
from sylvite.eventlog.recovery import Note, recover
from sylvite.eventlog.segment import START, SegmentHeader, file_name
from sylvite.eventlog.settings import LogSettings
from sylvite.eventlog.storage import File, Storage, is_full

RESERVE_BYTES = 4 * 1024 * 1024
SECOND_FAILURE_WITHIN_S = 60.0
INTERRUPTED = (
    "a write was interrupted by a lack of memory, or a mistake: what is in the log is not known before the next start"
)
"""Made beforehand: there may be no memory left to make it."""


class NewBatch(msgspec.Struct, frozen=True):
    """A block to append, and who it comes from.  `tags`: its distinct tags, where they are known; `passage`: who has brought it."""

    block: bytes
    count: int
    sender: str
    source_epoch: int
    source_seq: int
    tags: list[str] | None = None
    passage: Passage | None = None


class SyncJob:
    """What has to reach the disk.  `run` blocks; call it in a helper thread, then `EventLog.sync_done`."""

    def __init__(self, storage: Storage, files: list[File], *, folder: bool, end: int, size: int) -> None:
        self._storage, self._folder = storage, folder
        self.files, self.end, self.size = files, end, size

    def run(self) -> None:
        """Raises OSError: whether the events would survive power loss is unknown."""
        for file in self.files:
            file.sync()
        if self._folder:
            # Without it a crash can forget the name of a new segment (fsync(2)).
            self._storage.sync_folder()


class EventLog(History):
    """A log that can be appended to.

    `synced`: every offset below it survives power loss.  `notes`: what recovery did and found.
    `random_bytes`: where a new log takes its id from, and each start its epoch.
    """

    def __init__(
        self,
        storage: Storage,
        settings: LogSettings,
        *,
        now_ns: int,
        accept_loss: bool = False,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.settings = settings
        storage.lock()
        meta = read_or_make(storage, now_ns, random_bytes)
        self.cursors = Cursors(storage)
        found = recover(storage, meta.log_id, proven=self.cursors.highest, accept_loss=accept_loss)
        super().__init__(storage, meta.log_id, found.segments, found.end)
        self.sources = found.sources
        self.notes: list[Note] = found.notes
        self.synced = found.end
        self._epoch = int.from_bytes(random_bytes(8), "little") >> 1
        self._position = self._reserved = 0
        self._tail_size = 0
        self.unsynced_bytes = 0
        self._unsynced_files: list[File] = []
        self._to_close: list[File] = []
        self._folder_changed = True
        self._job: SyncJob | None = None
        self._marked = found.end
        self._sync_failures: list[float] = []
        self.failed: str | None = None
        self._start_segment(now_ns, found.end)

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def bytes_used(self) -> int:
        return sum(segment.size for segment in self.segments[:-1]) + self._position

    # -- Append --------------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[NewBatch], now_ns: int) -> list[Batch]:
        """Give the events their offsets and write them: all, or none.

        Raises:
            DiskFull: nothing was written.
            LogFailed: the disk has failed us twice; nothing will be written any more.
            EventLogError: writing failed; nothing was kept.
            MemoryError: there was none for it.  Where that shows in the middle, nothing will be written any more.
        """
        if self.failed:
            raise LogFailed(self.failed)
        base = self.end
        raws: list[bytes] = []
        for entry in entries:
            raw = encode_batch(
                entry.block, base=base, epoch=self._epoch, durable=self.synced, stamp_ns=now_ns, sender=entry.sender,
                source_epoch=entry.source_epoch, source_seq=entry.source_seq, passage=entry.passage,
            )  # fmt: skip
            raws.append(sealed(raw))
            base += entry.count
        try:
            return self._take(entries, raws, base, now_ns)
        except EventLogError:
            raise
        except Exception:
            self.failed = INTERRUPTED
            raise

    def _take(self, entries: Sequence[NewBatch], raws: list[bytes], base: int, now_ns: int) -> list[Batch]:
        """Write batches, and take note of them; `base` is the offset after the last one's events."""
        first = position = self._write(raws, now_ns)
        batches: list[Batch] = []
        active = self.segments[-1]
        assert active.index is not None
        for entry, raw in zip(entries, raws, strict=True):
            batch = Batch(raw, entry.tags)
            batches.append(batch)
            active.index.note(batch, position)
            position += len(raw)
            self.sources.note(
                entry.sender, entry.source_epoch, entry.source_seq, entry.count, batch.base, self._epoch, entry.passage
            )  # fmt: skip
        with_events = [batch for batch in batches if batch.count]
        self._tail.extend(with_events)
        self._tail_size += sum(len(batch.raw) for batch in with_events)
        self.unsynced_bytes += position - first
        self.end = active.next = base
        self._marked = max(self._marked, self.synced)
        if self._tail_size > self.settings.tail_bytes:
            self._trim_tail()
        return batches

    def mark(self, now_ns: int) -> None:
        """Write down what is synced, if nothing written so far says it.  Without it the last group before a crash
        could not be told from one that nobody was told of.

        Raises: see `append`.
        """
        if self._marked >= self.synced or self.synced < self.end or self.failed:
            return
        mark = encode_batch(
            EMPTY_BLOCK, base=self.end, epoch=self._epoch, durable=self.synced, stamp_ns=now_ns, sender="",
            source_epoch=0, source_seq=0,
        )  # fmt: skip
        self._write([sealed(mark)], now_ns)
        self._marked = self.synced

    def _write(self, raws: list[bytes], now_ns: int) -> int:
        """Put batches at the end of the active segment; return the position of the first."""
        size = sum(map(len, raws))
        active = self.segments[-1]
        try:
            # One without events stays, however full: the next one would take its name, and retention the file of both.
            if self.end > active.base and self._position + size > self.settings.segment_bytes:
                self._start_segment(now_ns, self.end)
                active = self.segments[-1]
            self._reserve(self._position + size)
            assert active.file is not None
            try:
                active.file.write_at(self._position, raws)
            except OSError as error:
                self._erase(active.file, size, error)
                raise
        except OSError as error:
            if is_full(error):
                raise DiskFull(
                    f"the disk takes nothing more ({os.strerror(error.errno or 0)}); nothing was written. Free some space "
                    "or let retention keep less: publishing then works again by itself"
                ) from error
            raise EventLogError(f"the log could not be written: {error}; nothing was kept") from error
        position = self._position
        self._position += size
        active.size = self._position
        if active.file not in self._unsynced_files:
            self._unsynced_files.append(active.file)
        return position

    def _reserve(self, end: int) -> None:
        """Take space in steps, so that a full disk shows before a write and not in the middle of one."""
        if end <= self._reserved:
            return
        step = min(RESERVE_BYTES, self.settings.segment_bytes)
        wanted = max(end, min(self._reserved + step, max(self.settings.segment_bytes, end)))
        free = self.storage.free_bytes() - (wanted - self._reserved)
        if free < self.settings.keep_free_bytes:
            raise DiskFull(
                f"only {max(free, 0)} bytes would stay free on the disk, and {self.settings.keep_free_bytes} are kept free; "
                "nothing was written. Free some space or let retention keep less: publishing then works again by itself"
            )
        file = self.segments[-1].file
        assert file is not None
        file.reserve(wanted)
        self._reserved = wanted

    def _erase(self, file: File, size: int, error: OSError) -> None:
        """Make sure that a write which failed half-way has left nothing: what was refused must not come back.

        Raises:
            LogFailed: that could not be made sure.
        """
        try:
            if file.read_at(self._position, size).strip(b"\0"):
                file.truncate(self._position)
                self._reserved = self._position
                file.sync()
        except OSError as second:
            self.failed = (
                f"a write failed half-way ({error}), and what it left could not be erased ({second}): whether the events "
                "are in the log is not known before the next start"
            )
            raise LogFailed(self.failed) from second

    # -- Segments ------------------------------------------------------------------------------------------------

    def _start_segment(self, now_ns: int, base: int) -> None:
        """Seal the active segment, if there is one of ours, and make the next.

        Raises:
            OSError: nothing has changed.
        """
        segment = self._make_segment(now_ns, base, [])
        if self._position:
            self._seal(self.segments[-1])
        self._go_on_in(segment)

    def _make_segment(self, now_ns: int, base: int, raws: Sequence[bytes]) -> Segment:
        """Make a segment file of these batches; it takes its name when it is whole, from another one if need be."""
        name = file_name(base)
        header = SegmentHeader(bytes.fromhex(self.log_id), self._epoch, base, self.synced, now_ns)
        temporary = name + ".new"
        if temporary in self.storage.names():
            self.storage.remove(temporary)
        file = self.storage.open(temporary, create=True)
        try:
            file.reserve(START)
            file.write_at(0, [header.encode(), *raws])
            self.storage.rename(temporary, name)
        except OSError:
            file.close()
            self.storage.remove(temporary)
            raise
        segment = Segment(name, header, START + sum(map(len, raws)), file)
        segment.index = Index()
        return segment

    def _go_on_in(self, segment: Segment) -> None:
        assert segment.file is not None
        self.segments.append(segment)
        self._position = self._reserved = segment.size
        self._folder_changed = True
        self._unsynced_files.append(segment.file)

    def _seal(self, segment: Segment) -> None:
        assert segment.file is not None
        assert segment.index is not None
        segment.size = self._position
        try:
            segment.file.truncate(self._position)
            save_summary(
                self.storage, segment.name,
                Summary(
                    segment.size, self.end, segment.index.entries, self.sources.snapshot(), self.synced,
                    self.sources.complete,
                ),
            )  # fmt: skip
        except OSError as error:
            # Neither is needed: zeros at the end are no batch, and the summary can be made again.
            self.notes.append(Note("warning", {"segment": segment.name, "detail": f"could not be sealed: {error}"}))
        self._open.append(segment)

    def retain(self, now_ns: int) -> list[Gap]:
        """Delete the segments that retention lets go; return what that takes away.

        Raises:
            OSError: a file could not be deleted; what was deleted before it is gone from the log too.
        """
        settings = self.settings
        return self.drop(
            retention.to_drop(
                self.segments, now_ns=now_ns, keep_bytes=settings.keep_bytes, keep_s=settings.keep_s, synced=self.synced
            )
        )

    def drop(self, segments: Sequence[Segment]) -> list[Gap]:
        """Delete these segments, which must be the oldest ones.  Raises OSError, as `retain`."""
        gaps: list[Gap] = []
        try:
            for segment in segments:
                assert segment is self.segments[0]
                # Out of the list first: a reader must not find a file that is about to go.
                self.segments.pop(0)
                self._close_file(segment)
                try:
                    self._remove_files(segment)
                except OSError:
                    # Back into it: forgotten here and found at the next start, it would be events behind a hole.
                    self.segments.insert(0, segment)
                    raise
                gaps.append(Gap(segment.base, segment.next, "retention", segment.next - segment.base))
        finally:
            while self._tail and self._tail[0].base < self.oldest:
                self._tail_size -= len(self._tail.popleft().raw)
            self._folder_changed = self._folder_changed or bool(gaps)
        return gaps

    def _remove_files(self, segment: Segment) -> None:
        # The index first: whatever fails, it does not stay behind alone.
        for name in (index_name(segment.name), segment.name):
            with contextlib.suppress(FileNotFoundError):
                self.storage.remove(name)

    def _let_go(self, file: File) -> None:
        """Close a file once no sync needs it any more: its number may be another file's by then."""
        if file in self._unsynced_files or (self._job is not None and file in self._job.files):
            self._to_close.append(file)
        else:
            file.close()

    # -- Sync ----------------------------------------------------------------------------------------------------

    def sync_job(self) -> SyncJob | None:
        """Return what has to be synced, or None where nothing has to, or a job is under way."""
        if self._job is not None or self.failed or not (self._unsynced_files or self._folder_changed):
            return None
        self._job = SyncJob(
            self.storage, self._unsynced_files, folder=self._folder_changed, end=self.end, size=self.unsynced_bytes
        )
        self._unsynced_files, self._folder_changed = [], False
        return self._job

    def sync_done(self, error: OSError | None, now_ns: int, now_s: float) -> None:
        """Take the result of the job; `now_s` is of a clock that never jumps.

        After a failure the kernel counts the pages as clean, so that syncing again proves nothing: everything since
        `synced` is written anew into a new file, and the old one is not written any more.

        Raises:
            LogFailed: the second failure within a minute, or the new file could not be written.
        """
        job, self._job = self._job, None
        assert job is not None
        if error is None:
            self.synced = max(self.synced, job.end)
            self.unsynced_bytes -= job.size
            self._trim_tail()
            self._close_late()
            return
        self._sync_failures = [at for at in self._sync_failures if now_s - at < SECOND_FAILURE_WITHIN_S]
        self._sync_failures.append(now_s)
        if len(self._sync_failures) > 1:
            self.failed = f"the disk refused twice within a minute to make the log durable: {error}"
            raise LogFailed(self.failed) from error
        try:
            self._rewrite_unsynced(now_ns)
        except (OSError, EventLogError) as second:
            self.failed = f"the disk refused to make the log durable ({error}), and then a new segment ({second})"
            raise LogFailed(self.failed) from second

    def _rewrite_unsynced(self, now_ns: int) -> None:
        again = [batch for batch in self._tail if batch.next > self.synced]
        assert not again or again[0].base <= self.synced, "batches that are not synced stay in memory"
        base = again[0].base if again else self.end
        # Whole before it takes its name: whenever this process dies, what was written is in the old files or in this one.
        segment = self._make_segment(now_ns, base, [batch.raw for batch in again])
        assert segment.index is not None
        position = START
        for batch in again:
            segment.index.note(batch, position)
            position += len(batch.raw)
        segment.next = self.end
        # Whatever was to be synced is in the suspect files; nothing may depend on them any more.
        self._unsynced_files = []
        suspects = [suspect for suspect in self.segments if suspect.base >= base]
        del self.segments[len(self.segments) - len(suspects) :]
        # Oldest first: those that are left when this process dies go on where the new one is cut short by them.
        for suspect in suspects:
            self._close_file(suspect)
            if suspect.name != segment.name:
                self._remove_files(suspect)
        if self.segments:
            last = self.segments[-1]
            last.next = base
            self._close_file(last)
            if last.index is not None:
                last.index.forget_from(base)
        self._go_on_in(segment)
        self._close_late()

    def _close_late(self) -> None:
        files, self._to_close = self._to_close, []
        for file in files:
            self._let_go(file)

    def _trim_tail(self) -> None:
        tail = self._tail
        while self._tail_size > self.settings.tail_bytes and len(tail) > 1 and tail[0].next <= self.synced:
            self._tail_size -= len(tail.popleft().raw)

    def finish(self, now_ns: int) -> None:
        """Write down that all is synced, before an orderly end: later, what was lost can be told from what never was.

        Raises:
            OSError, EventLogError: it could not be written.  Nothing depends on it.
        """
        if self.failed or self.synced < self.end:
            return
        self.mark(now_ns)
        job = self.sync_job()
        if job is not None:
            job.run()
            self.sync_done(None, now_ns, 0.0)
        active = self.segments[-1]
        if active.index is not None and active.next > active.base:
            summary = Summary(
                self._position, self.end, active.index.entries, self.sources.snapshot(), self.synced,
                self.sources.complete,
            )  # fmt: skip
            save_summary(self.storage, active.name, summary, sync=True)

    def close(self) -> None:
        """Let go of the files.  Sync first: this does not."""
        active = self.segments[-1]
        if active.file is not None and not self.failed:
            with contextlib.suppress(OSError):  # Only to give space back: zeros at the end are no batch.
                active.file.truncate(self._position)
        self._unsynced_files, self._job = [], None
        self._close_late()
        super().close()


__all__ = ["EventLog", "LogInUse", "LogSettings", "NewBatch", "NoSuchCursor", "SyncJob"]
