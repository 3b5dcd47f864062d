"""Logs: what a daemon says of itself, to stderr or the journal, and to a file; as text, or as one JSON object a line.

All processes of a node append to the same file, a line with each call, so that lines stay whole.  A file that was moved away
(logrotate) is made again with the next line.
"""

from __future__ import annotations

import datetime as dt
import errno
import logging
import logging.handlers
import os
import stat
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sylvite.errors import InvalidSetting

if TYPE_CHECKING:
    from sylvite.daemons.options.node import NodeOptions

LEVELS = {
    "all": 0, "garbage": 1, "trace": 5, "debug": logging.DEBUG, "profile": 15, "info": logging.INFO,
    "warning": logging.WARNING, "error": logging.ERROR, "critical": logging.CRITICAL, "quiet": 1000,
}  # fmt: skip
"""Salt's names."""
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""What journald makes of a level: sd-daemon(3)."""
FILE_MODE = 0o600
STDERR_IS_FILE = "SYLVITE_STDERR_IS_LOG_FILE"
"""In the environment of a daemon without a terminal: what it logs is not written to both."""


class LogWish(msgspec.Struct, frozen=True):
    """What is logged, and where.  Levels and formats are named as in the options of a node."""

    level: str = "info"
    form: str = "text"
    file: Path | None = None
    file_level: str | None = None


def wish_of(options: NodeOptions) -> LogWish:
    return LogWish(options.log_level, options.log_format, options.log_file, options.log_level_logfile)


class TextLine(logging.Formatter):
    """A line for people; warnings and worse say so."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s: %(grade)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.grade = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return super().format(record)


class JournalLine(logging.Formatter):
    """A line that journald takes its priority from; time and program it knows itself."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in PRIORITIES if record.levelno >= level), 7)
        # Each line has its own: a traceback has many.
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


class JsonLine(logging.Formatter):
    """One object: `time` (UTC), `level`, `logger`, `message`; `error` where one is told, with `traceback` at level debug."""

    def __init__(self, *, with_tracebacks: bool) -> None:
        super().__init__()
        self._with_tracebacks = with_tracebacks

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = f"{type(error).__name__}: {error}"
            if self._with_tracebacks:
                line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class LogFile(logging.handlers.WatchedFileHandler):
    """A file that is ours, or is made so; never what a link points at."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, FILE_MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no file", self.baseFilename)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # It was moved away, and cannot be made again: logging itself does not expect that.
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say once that it cannot be written; the same lines are on stderr."""
        del record
        if not self._has_failed:
            self._has_failed = True
            sys.stderr.write(f"{self.baseFilename} cannot be written: {sys.exc_info()[1]}\n")

    _has_failed = False


def begin(wish: LogWish) -> None:
    """Log so from now on, in the place of what was before.

    Raises:
        InvalidSetting: the file cannot be written; nothing is changed.
    """
    handlers = [] if wish.file is not None and STDERR_IS_FILE in os.environ else [_to_stderr(wish)]
    if wish.file is not None:
        handlers.append(_to_file(wish, wish.file))
    root = logging.getLogger()
    former = root.handlers[:]
    root.handlers[:] = handlers
    # No record is made that nobody writes.
    root.setLevel(min(handler.level for handler in handlers) or 1)
    for handler in former:
        handler.close()


def _to_stderr(wish: LogWish) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(LEVELS[wish.level])
    if wish.form == "json":
        handler.setFormatter(_json(wish.level))
    else:
        handler.setFormatter(JournalLine() if os.environ.get("JOURNAL_STREAM") else TextLine())
    return handler


def _to_file(wish: LogWish, file: Path) -> logging.Handler:
    level = wish.file_level or wish.level
    try:
        handler = LogFile(file, delay=False)
    except OSError as error:
        raise InvalidSetting("log_file", str(file), f"cannot be written: {error.strerror}") from error
    handler.setLevel(LEVELS[level])
    handler.setFormatter(_json(level) if wish.form == "json" else TextLine())
    return handler


def _json(level: str) -> JsonLine:
    return JsonLine(with_tracebacks=LEVELS[level] <= logging.DEBUG)
