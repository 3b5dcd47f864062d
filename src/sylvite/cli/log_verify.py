"""`sylvite log verify`: read everything, check every byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_bytes, show_number_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.log_folder import OpenLog, find_folder, folder_option
from sylvite.cli.output import write_json
from sylvite.cli.progress import Progress
from sylvite.eventlog.history import Segment
from sylvite.eventlog.segment import START, Damage, decode_header, scan
from sylvite.eventlog.storage import Storage

EXAMPLES = (
    Example("sylvite log verify", "The log of the running broker, which is not disturbed"),
    Example("sylvite log verify --dir ./bus", "A log in a folder; exit code 1 if anything is damaged"),
)


class Fault(msgspec.Struct, frozen=True):
    """Offsets from `first` up to `next` cannot be read; none, where only bytes between events are wrong."""

    segment: str
    first: int
    next: int
    detail: str

    def __str__(self) -> str:
        lost = f"@{self.first}..@{self.next - 1} cannot be read" if self.next > self.first else "no event is lost"
        return f"{self.segment}: {lost}: {self.detail}"


class Verified(msgspec.Struct):
    """`unfinished`: of writes that nobody was told of; the next start of a broker cuts them."""

    segments: int = 0
    events: int = 0
    bytes: int = 0
    faults: list[Fault] = []
    unfinished: list[Fault] = []


@command("verify", examples=EXAMPLES)
@folder_option
@pass_options
def verify(options: GlobalOptions, folder: Path | None) -> int:
    """Read everything and check every byte.

    Nothing is changed, and a broker may run. Exit code 1 where something is damaged.
    """
    with (
        OpenLog(find_folder(options, folder)) as log,
        Progress("verify", "events", log.total_bytes, enabled=False if options.quiet else None) as progress,
    ):
        found = verify_log(log, progress)
    if options.json:
        facts: dict[str, Any] = msgspec.to_builtins(found)
        write_json({**facts, "ok": not found.faults})
    else:
        for fault in found.faults:
            click.echo(str(fault))
        for hole in found.unfinished:
            click.echo(f"unfinished, and told to nobody: {hole}")
        if not options.quiet:
            click.echo(
                f"{show_number_of(found.segments, 'segment')}, {show_number_of(found.events, 'event')}, "
                f"{show_bytes(found.bytes)}, "
                f"{len(found.faults)} damaged"
            )
    return exit_codes.NO if found.faults else exit_codes.DONE


def verify_log(log: OpenLog, progress: Progress) -> Verified:
    """Check each segment, and that they follow each other without a hole."""
    found = Verified()
    durable = log.durable
    holes: list[Fault] = []
    for file, following in zip(log.files, [*log.files[1:], None], strict=True):
        segment = file.segment
        if not file.header_is_whole:
            holes.append(Fault(segment.name, segment.base, segment.base, "its header is damaged"))
        try:
            checked = _Checked(log.storage, segment, progress)
            if following is None and (checked.holes or checked.tail):
                # A broker may have been in the middle of writing what looked broken.
                checked = _Checked(log.storage, segment, progress)
        except FileNotFoundError:
            continue  # Retention took it while we were reading.
        durable = max(durable, checked.durable)
        found.segments += 1
        found.events += checked.events
        found.bytes += checked.size
        holes += checked.holes
        wanted = max(durable, checked.end) if following is None else following.segment.base
        if checked.end < wanted or checked.tail:
            what = f"{checked.tail} bytes that are no batch at its end" if checked.tail else "it ends too early"
            holes.append(Fault(segment.name, checked.end, max(wanted, checked.end), what))
        elif checked.end > wanted:
            detail = f"it goes on beyond @{wanted}, where the next segment begins"
            holes.append(Fault(segment.name, wanted, wanted, detail))
    for hole in holes:
        # What was never proven to be synced was told to nobody: a crash may leave it broken.
        (found.faults if hole.first < durable else found.unfinished).append(hole)
    return found


class _Checked:
    """What one segment holds.  `tail`: bytes at its end that are no batch; `end`: the offset after its last event."""

    def __init__(self, storage: Storage, segment: Segment, progress: Progress) -> None:
        self.holes: list[Fault] = []
        self.events = self.tail = 0
        self.end = segment.base
        file = storage.open(segment.name)
        try:
            self.size = file.size()
            header = decode_header(file.read_at(0, START), segment.name)
            self.durable = header.durable if header is not None else 0
            broken: Damage | None = None
            for item in scan(file, segment.epoch):
                if isinstance(item, Damage):
                    broken = item
                    progress.add(0, item.end - item.start)
                    continue
                batch = item.batch
                if broken is not None or batch.base != self.end:
                    self._note(segment, item.position, batch.base, broken)
                    broken = None
                self.end = max(self.end, batch.next)
                self.events += batch.count
                self.durable = max(self.durable, batch.durable)
                progress.add(batch.count, len(batch.raw))
            if broken is not None:
                self.tail = broken.end - broken.start
        finally:
            file.close()

    def _note(self, segment: Segment, position: int, base: int, broken: Damage | None) -> None:
        if broken is not None:
            detail = f"bytes {broken.start} to {broken.end} are damaged"
        elif base > self.end:
            detail = f"events are missing before byte {position}"
        else:
            detail = f"the batch at byte {position} begins at @{base} again"
        self.holes.append(Fault(segment.name, self.end, max(base, self.end), detail))
