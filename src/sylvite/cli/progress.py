"""Progress of long work: a line that is redrawn on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from sylvite.cli.amounts import show_bytes, show_count, show_duration

REDRAW_S = 0.1
BAR = 24


class Progress:
    """How much is done, of how much, how fast.

    `unit` is what the count counts; `total_bytes` makes a bar.  Only on a terminal, unless `enabled` says otherwise.
    """

    def __init__(
        self, title: str, unit: str, total_bytes: int, *, stream: TextIO | None = None, enabled: bool | None = None
    ) -> None:
        self._title, self._unit, self._total = title, unit, total_bytes
        self._stream = stream if stream is not None else sys.stderr
        self._enabled = self._stream.isatty() if enabled is None else enabled
        self._started = self._drawn = time.monotonic()
        self.count = self.bytes = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def add(self, count: int, size: int) -> None:
        self.count += count
        self.bytes += size
        if self._enabled and (now := time.monotonic()) - self._drawn >= REDRAW_S:
            self._drawn = now
            self._stream.write("\r\033[K" + progress_line(
                self._title, self._unit, self.count, self.bytes, self._total, now - self._started
            ))  # fmt: skip
            self._stream.flush()


def progress_line(title: str, unit: str, count: int, done: int, total: int, elapsed_s: float) -> str:
    """Return `verify  ██████░░  120 000 events  1.2 GiB of 3.1 GiB  410 MiB/s  5 s left`."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    parts = [title]
    if total > 0:
        full = min(BAR, BAR * done // total)
        parts.append("█" * full + "░" * (BAR - full))
    parts.append(f"{show_count(count)} {unit}")
    parts.append(f"{show_bytes(done)} of {show_bytes(total)}" if total > 0 else show_bytes(done))
    parts.append(f"{show_bytes(rate)}/s")
    if total > done and rate > 0:
        parts.append(f"{show_duration((total - done) / rate)} left")
    return "  ".join(parts)
