"""`sylvite log export`: events to a file or to stdout."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_number_of
from sylvite.cli.archive import MAGIC
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.log_folder import OpenLog, find_folder, folder_option
from sylvite.cli.option_types import MOMENT
from sylvite.cli.output import Lines
from sylvite.cli.progress import Progress
from sylvite.cli.template import encode_json, printable
from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.core.pattern import parse_patterns
from sylvite.eventlog.checksum import sealed

EXAMPLES = (
    Example("sylvite log export --to events.ndjson", "All events of the running broker, one JSON a line"),
    Example("sylvite log export --tag 'myco/*' --since 7d", "A part of it, to stdout"),
    Example("sylvite log export --format evlog --to events.evlog", "As they lie in the log, byte for byte"),
)
READ_BYTES = 1024 * 1024


@command("export", examples=EXAMPLES)
@folder_option
@click.option("--to", "target", default="-", metavar="FILE", help="Where to, a new file [stdout].")
@click.option("--format", "format_", type=click.Choice(["ndjson", "evlog"]), default="ndjson", metavar="FORMAT",
              help="ndjson (one JSON a line) or evlog (exact, for import) [ndjson].")  # fmt: skip
@click.option("--tag", "tags", multiple=True, metavar="PATTERN", help="Only these tags; may be repeated.")
@click.option("--since", type=MOMENT, metavar="TIME", help="From this time on.")
@click.option("--until", type=MOMENT, metavar="TIME", help="Up to this time.")
@pass_options
def export(
    options: GlobalOptions,
    folder: Path | None,
    target: str,
    format_: str,
    tags: tuple[str, ...],
    since: int | None,
    until: int | None,
) -> int:
    """Write events to a file or to stdout.

    What had been written when it began; a broker may run. Where events cannot be read, a line on stderr says which,
    and the exit code is 1.
    """
    with OpenLog(find_folder(options, folder)) as log:
        quiet = options.quiet or (target == "-" and sys.stdout.isatty())
        with contextlib.ExitStack() as stack:
            stream = sys.stdout.buffer if target == "-" else stack.enter_context(open(target, "xb"))
            lines = Lines(stream)
            with Progress("export", "events", log.total_bytes, enabled=False if quiet else None) as progress:
                exporter = _Exporter(log, tags, since, until, progress)
                if format_ == "evlog":
                    lines.write(MAGIC)
                for piece in exporter.batches() if format_ == "evlog" else exporter.lines():
                    lines.write(piece)
            lines.flush()
            if target != "-":
                os.fsync(stream.fileno())
    if target != "-" and not options.quiet:
        click.echo(f"{show_number_of(exporter.events, 'event')} exported to {target}", err=True)
    return exit_codes.NO if exporter.gaps else exit_codes.DONE


class _Exporter:
    """The chosen events of a log, in order.  `events`: how many so far; `gaps`: how often some were missing."""

    def __init__(
        self, log: OpenLog, tags: tuple[str, ...], since: int | None, until: int | None, progress: Progress
    ) -> None:
        self._history = log.history
        self._wants = parse_patterns(tags).matcher()
        self._all_tags = not tags
        self._since, self._until = since, until
        self._progress = progress
        self.events = self.gaps = 0

    def _read(self) -> Iterator[tuple[Batch, list[int]]]:
        """Yield batches with the rows that are wanted of them."""
        history = self._history
        start = history.oldest if self._since is None else history.offset_at(self._since)
        reader = history.reader(start)
        while reader.next < history.end:
            for item in reader.read(READ_BYTES, history.end):
                if isinstance(item, Gap):
                    self.gaps += 1
                    click.echo(f"sylvite: {printable(str(item))}", err=True)
                    continue
                if self._until is not None and item.stamp_ns > self._until:
                    return
                if self._since is not None and item.stamp_ns < self._since:
                    continue
                rows = self._rows(item)
                self.events += len(rows)
                self._progress.add(len(rows), len(item.raw))
                if rows:
                    yield item, rows

    def _rows(self, batch: Batch) -> list[int]:
        if self._all_tags:
            return list(range(batch.count))
        wanted = {number for number, tag in enumerate(batch.tags) if self._wants(tag)}
        return [row for row, number in enumerate(batch.numbers) if number in wanted]

    def lines(self) -> Iterator[bytes]:
        for batch, rows in self._read():
            chosen = batch if len(rows) == batch.count else Batch(batch.cut(rows))
            for event in chosen.events():
                if isinstance(event, Gap):
                    self.gaps += 1
                    self.events -= 1
                    click.echo(f"sylvite: {printable(str(event))}", err=True)
                else:
                    yield encode_json(event.envelope()) + b"\n"

    def batches(self) -> Iterator[bytes]:
        for batch, rows in self._read():
            yield batch.raw if len(rows) == batch.count else sealed(batch.cut(rows))
