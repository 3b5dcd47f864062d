"""What all of our daemons do alike: the loop they run in, how they say that they are ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from sylvite.daemons import logs
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.systemd import notify, watchdog_s


def log_as(configuration: Configuration[Any]) -> None:
    """Log as the options say, also once they were read again.  Raises InvalidSetting: the file cannot be written."""
    logs.begin(logs.wish_of(configuration.options))
    configuration.on_change(lambda options: logs.begin(logs.wish_of(options)))


def on_signals(stop: Callable[[], object], reload: Callable[[], object]) -> None:
    """Stop on SIGTERM and SIGINT, read the configuration again on SIGHUP; in the loop that runs."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)


def run(serve: Coroutine[Any, Any, int]) -> int:
    """Run a daemon in the fastest loop that there is; return its exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(serve)


def say_ready(ready_fd: int | None, line: str = "ready") -> None:
    """Tell systemd, and whoever reads the other end of `ready_fd`; tell systemd from now on that the loop still turns.

    Where `ready_fd` is a socket, this process ends in order when its other end is closed: nobody leads it any more.
    """
    notify("READY=1")
    if (silence_s := watchdog_s()) is not None:
        _say_alive(asyncio.get_running_loop(), silence_s / 3)
    if ready_fd is None:
        return
    try:
        os.write(ready_fd, f"{line}\n".encode())
    except BrokenPipeError:
        pass  # It is closed already: below that is noticed.
    if stat.S_ISSOCK(os.fstat(ready_fd).st_mode):
        threading.Thread(target=_end_with, args=(ready_fd,), name="end with who leads us", daemon=True).start()
    else:
        os.close(ready_fd)


def _say_alive(loop: asyncio.AbstractEventLoop, every_s: float) -> None:
    notify("WATCHDOG=1")
    loop.call_later(every_s, _say_alive, loop, every_s)


def _end_with(leader: int) -> None:
    while True:
        try:
            if not os.read(leader, 64):
                break
        except OSError:
            break
    os.kill(os.getpid(), signal.SIGTERM)
