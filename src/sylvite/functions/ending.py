"""Ending: what SIGTERM means to a process that does one thing: the same as Ctrl-C, so that what was begun is told."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ended_by_term() -> Generator[None]:
    """Let SIGTERM raise KeyboardInterrupt while this lasts."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
