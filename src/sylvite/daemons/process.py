"""What all of our daemons do alike: where they log to, the loop they run in, how they say that they are ready."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from sylvite.daemons.systemd import notify


def log_to_stderr() -> None:
    # journald reads the priority from the line (sd-daemon(3)); a person at a terminal wants the time.
    is_journal = os.environ.get("JOURNAL_STREAM")
    form = "<6>%(message)s" if is_journal else "%(asctime)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)


def run(serve: Coroutine[Any, Any, int]) -> int:
    """Run a daemon in the fastest loop that there is; return its exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(serve)


def say_ready(ready_fd: int | None, line: str = "ready") -> None:
    """Tell systemd, and whoever reads the other end of `ready_fd`."""
    notify("READY=1")
    if ready_fd is not None:
        os.write(ready_fd, f"{line}\n".encode())
        os.close(ready_fd)
