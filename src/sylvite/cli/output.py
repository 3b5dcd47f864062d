"""Output: lines to stdout, many at a time where many are ready."""

from __future__ import annotations

import sys
from typing import BinaryIO

import msgspec

FLUSH_BYTES = 64 * 1024


class Lines:
    """Collects lines and writes them in large pieces.  Call `flush` whenever nothing more is ready.

    Every call may raise BrokenPipeError: the reader has gone away.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout.buffer
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, line: bytes) -> None:
        """Take a line, its end included."""
        self._waiting.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            piece = b"".join(self._waiting)
            self._waiting, self._size = [], 0
            self._stream.write(piece)
            self._stream.flush()


def write_json(value: object) -> None:
    """Write one JSON value as one line."""
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> list[str]:
    """Return lines of columns under a header.  A column is as wide as its widest cell; the last one is not padded."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines: list[str] = []
    for row in (header, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
