"""A master: its broker and its link, as processes of their own under one that looks after them."""

from __future__ import annotations

import asyncio
import signal
import sys

from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.process import log_to_stderr
from sylvite.daemons.supervision import Part, Supervisor


def main(options: MasterOptions, *, ready_fd: int | None = None) -> int:
    """Run a master until SIGTERM or SIGINT; return the exit code."""
    log_to_stderr()
    return asyncio.run(_run(options, ready_fd))


def parts(options: MasterOptions) -> list[Part]:
    """Return what a master is made of, in the order in which it starts."""
    program = (sys.executable, "-m", "sylvite")
    socket = str(options.sock_dir / "bus.sock")
    broker = (*program, "--socket", socket, "broker", "--dir", str(options.data_dir))
    link = (
        *program, "--socket", socket, "link", "--dir", str(options.data_dir),
        "--listen", f"{options.interface}:{options.ret_port}", "--name", options.id,
    )  # fmt: skip
    if not options.auth_events:
        link = (*link, "--no-auth-events")
    return [Part("broker", broker), Part("link", link)]


async def _run(options: MasterOptions, ready_fd: int | None) -> int:
    supervisor = Supervisor(parts(options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run(ready_fd)
