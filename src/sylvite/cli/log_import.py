"""`sylvite log import`: exported events into a log."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from bisect import bisect_right
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from sylvite.cli.amounts import show_count, show_number_of
from sylvite.cli.archive import Archived, read_archive
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import write_json
from sylvite.cli.progress import Progress
from sylvite.core.block import BlockBuilder
from sylvite.errors import InvalidInput
from sylvite.eventlog.eventlog import EventLog, LogSettings, NewBatch
from sylvite.eventlog.meta import META
from sylvite.eventlog.storage import DiskStorage

EXAMPLES = (
    Example("sylvite log import events.ndjson --dir ./copy --dry-run", "Can all of it be read?"),
    Example("sylvite log import events.ndjson --dir ./copy", "Into a log of its own; start a broker on it to look"),
)
BLOCK_BYTES = 64 * 1024
BLOCK_EVENTS = 1000
SYNC_BYTES = 8 * 1024 * 1024


class Imported(msgspec.Struct):
    """`skipped`: events that the log had already, of the same publisher with the same number."""

    events: int = 0
    skipped: int = 0
    first: int | None = None
    next: int | None = None
    dry_run: bool = False


@command("import", examples=EXAMPLES)
@click.argument("file", metavar="FILE")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the broker or of the log; made if need be.",
)
@click.option("--dry-run", is_flag=True, help="Only read FILE, and say what is in it.")
@pass_options
def import_(options: GlobalOptions, file: str, folder: Path, *, dry_run: bool) -> None:
    """Append exported events to a log that no broker runs on.

    FILE is what `sylvite log export` wrote, in either format; - is stdin. Events keep time, sender and publisher, and
    get new offsets. Interrupted, it can be run again: what the log has already is skipped.
    """
    with contextlib.ExitStack() as stack:
        source = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb"))
        size = os.fstat(source.fileno()).st_size if file != "-" else 0
        with Progress("import", "events", size, enabled=False if options.quiet else None) as progress:
            found = _dry_run(source, progress) if dry_run else _import(source, folder, progress)
    if options.json:
        write_json(found)
    elif not options.quiet:
        verb = "would be imported" if dry_run else "imported"
        skipped = f", {show_count(found.skipped)} skipped: the log has them already" if found.skipped else ""
        click.echo(f"{show_number_of(found.events, 'event')} {verb}{skipped}")


def _dry_run(source: BinaryIO, progress: Progress) -> Imported:
    found = Imported(dry_run=True)
    for event, done in read_archive(source):
        found.events += 1
        found.first = event.offset if found.first is None else found.first
        found.next = event.offset + 1
        progress.add(1, done - progress.bytes)
    return found


def _import(source: BinaryIO, folder: Path, progress: Progress) -> Imported:
    place = folder if (folder / META).exists() else folder / "log"
    log = EventLog(DiskStorage(place), LogSettings(), now_ns=time.time_ns())
    try:
        importer = _Importer(log)
        try:
            for event, done in read_archive(source):
                importer.take(event)
                progress.add(1, done - progress.bytes)
        finally:
            # Also where a bad line ends it: everything before it is kept.
            importer.finish()
        return importer.found
    finally:
        log.close()


class _Importer:
    """Puts events into blocks of one publisher and one moment each, and these into the log."""

    def __init__(self, log: EventLog) -> None:
        self.found = Imported()
        self._log = log
        self._builder = BlockBuilder()
        self._first: Archived | None = None
        self._newest_ns = log.batch_at(log.end - 1).stamp_ns if log.end > log.oldest else 0
        self._runs: list[tuple[int, int, int]] = []
        """Old offset, new offset, count: where events have gone, for those that name them as their cause."""

    def take(self, event: Archived) -> None:
        """Take the next event.

        Raises:
            InvalidInput: it is older than what the log had.
            EventLogError: the log could not be written.
        """
        first, count = self._first, len(self._builder)
        if first is not None and (
            (event.sender, event.source_epoch) != (first.sender, first.source_epoch)
            or event.source_seq != first.source_seq + count
            or event.stamp_ns != first.stamp_ns
            or count >= BLOCK_EVENTS
            or self._builder.size >= BLOCK_BYTES
        ):
            self._append()
        if not self._log.sources.is_new(event.sender, event.source_epoch, event.source_seq, 1):
            self.found.skipped += 1
            return
        if event.stamp_ns < self._newest_ns:
            raise InvalidInput(
                "the log has events that are newer than those of the file, and a log is in the order of time: "
                "import into an empty folder"
            )
        if self._first is None:
            self._first = event
        cause = None if event.cause is None else self._moved(event.cause)
        self._builder.add(event.tag, event.packed, cause, event.hop)
        self._note(event.offset)

    def _note(self, old: int) -> None:
        new = self._log.end + len(self._builder) - 1
        if self._runs and self._runs[-1][0] + self._runs[-1][2] == old and self._runs[-1][1] + self._runs[-1][2] == new:
            start, moved, count = self._runs[-1]
            self._runs[-1] = (start, moved, count + 1)
        else:
            self._runs.append((old, new, 1))

    def _moved(self, old: int) -> int | None:
        """Return where the event that was at `old` is; None where it was not imported."""
        at = bisect_right(self._runs, old, key=lambda run: run[0]) - 1
        if at < 0:
            return None
        start, moved, count = self._runs[at]
        return moved + old - start if old < start + count else None

    def _append(self) -> None:
        first, self._first = self._first, None
        if first is None:
            return
        block, count = self._builder.take()
        batch = NewBatch(block, count, first.sender, first.source_epoch, first.source_seq)
        self.found.first = self._log.end if self.found.first is None else self.found.first
        self._log.append([batch], first.stamp_ns)
        self._newest_ns = first.stamp_ns
        self.found.events += count
        self.found.next = self._log.end
        if self._log.unsynced_bytes >= SYNC_BYTES:
            self._sync()

    def _sync(self) -> None:
        job = self._log.sync_job()
        if job is not None:
            job.run()
            self._log.sync_done(None, time.time_ns(), time.monotonic())

    def finish(self) -> None:
        """Write what is left, and return once everything is safe."""
        self._append()
        self._sync()
        self._log.finish(time.time_ns())
