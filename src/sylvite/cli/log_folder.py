"""The folder of a log: where it is, and reading it beside a running broker."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import click

from sylvite.cli.command import Function, GlobalOptions
from sylvite.cli.connect import connect
from sylvite.errors import InvalidSetting, LogNotUnderstood
from sylvite.eventlog.cursors import Cursors
from sylvite.eventlog.history import History, Segment
from sylvite.eventlog.index import durable_by_summaries
from sylvite.eventlog.meta import META, read_meta
from sylvite.eventlog.recovery import find_segments
from sylvite.eventlog.segment import START, Damage, scan
from sylvite.eventlog.storage import DiskStorage, Storage


def folder_option(function: Function) -> Function:
    """Add --dir."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of the broker or of the log [ask the broker].",
    )(function)


def find_folder(options: GlobalOptions, folder: Path | None) -> Path:
    """Return the folder of the log: below or at `folder`, else where the broker has it.

    Raises:
        LogNotUnderstood: there is no log.
        NotAllowed, BrokerNotReachable: the broker does not tell.
    """
    if folder is None:
        with connect(options) as client:
            folder = Path(client.ask("log")["folder"])
    for place in (folder / "log", folder):
        if (place / META).exists():
            return place
    raise LogNotUnderstood(f"there is no log in {folder}: the file {META} is missing")


class OpenLog:
    """A log opened for reading only: nothing is written, locked, repaired or made.  A context manager.

    `history` holds what had been written when it was opened; `files` are all segments, `durable` an offset below
    which everything was synced.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.storage: Storage = DiskStorage(folder, create=False)
        except OSError as error:
            raise InvalidSetting("log folder", str(folder), f"cannot be read: {error.strerror}") from error
        meta = read_meta(self.storage)
        self.files = find_segments(self.storage, meta.log_id)
        self.durable = max(
            [Cursors(self.storage).highest, durable_by_summaries(self.storage), *(file.durable for file in self.files)]
        )
        segments = [file.segment for file in self.files if file.born]
        self.history = History(self.storage, meta.log_id, segments, _end_of(self.storage, segments))

    def __enter__(self) -> OpenLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.history.close()

    @property
    def total_bytes(self) -> int:
        return sum(segment.size for segment in self.history.segments)


def _end_of(storage: Storage, segments: list[Segment]) -> int:
    if not segments:
        return 0
    last = segments[-1]
    file = storage.open(last.name)
    try:
        end = last.base
        for found in scan(file, last.epoch, START, last.size):
            if not isinstance(found, Damage):
                end = max(end, found.batch.next)
        return end
    finally:
        file.close()
