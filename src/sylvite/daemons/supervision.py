"""Supervision: the parts of a master are processes; one that ends is started again, and the others do not notice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Sequence
from typing import NamedTuple

from sylvite.daemons.process import say_ready
from sylvite.daemons.systemd import VARIABLES, notify

STOP_S = 20.0
PAUSE_S = (0.5, 30.0)
"""Before a part is started again: at first, and at most; it doubles from one time to the next."""
SETTLED_S = 60.0
"""A part that has run for so long has its pause forgotten."""
HOPELESS = frozenset((2, 77, 78))
"""Exit codes that another start does not change: the command line, rights, the configuration."""
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in VARIABLES}
logger = logging.getLogger("sylvite.master")


class Part(NamedTuple):
    """A process.  It writes a line to `--ready-fd`, which is added to its command, once others may lean on it.

    That is a socket: when its other end is closed, the part ends.
    """

    name: str
    command: tuple[str, ...]


class Supervisor:
    """Parts in the order in which they start; they stop in the reverse one."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._parts = list(parts)
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._code = 0
        self._said = ""
        self._ready: set[str] = set()
        self._to_hang_up: set[str] = set()

    def stop(self, code: int = 0) -> None:
        if not self._stopping.is_set():
            self._code = code
            self._stopping.set()

    def hang_up(self) -> None:
        """Tell all parts to read their configuration again; one that is just starting is told once it is ready.

        Before that, SIGHUP would end it.
        """
        self._to_hang_up.update(self.processes)
        self._send_hang_ups()

    def add(self, parts: Sequence[Part]) -> None:
        """Start those that are not there yet, beside the others; they stop first."""
        known = {part.name for part in self._parts}
        for part in parts:
            if part.name not in known and not self._stopping.is_set():
                self._parts.append(part)
                self._begin(part, asyncio.Event())

    def change(self, name: str, part: Part | None) -> None:
        """End the part of this name, and start another one in its place; None: start no other."""
        task = asyncio.create_task(self._change(name, part), name=f"change {name}")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _change(self, name: str, part: Part | None) -> None:
        async with self._changing:
            self._parts = [each for each in self._parts if each.name != name]
            if (keeper := self._keepers.pop(name, None)) is not None:
                await self._end(name)
                # It may be waiting to start it again.
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
            if part is not None:
                self.add([part])

    def _begin(self, part: Part, started: asyncio.Event) -> None:
        self._keepers[part.name] = asyncio.create_task(self._keep(part, started), name=f"supervise {part.name}")

    def _send_hang_ups(self) -> None:
        for name in self._to_hang_up & self._ready:
            self._to_hang_up.discard(name)
            self.processes[name].send_signal(signal.SIGHUP)

    async def run(self, ready_fd: int | None = None) -> int:
        """Run until `stop`, or until a part cannot be helped; return the exit code.

        `ready_fd`: gets what the last part has said when it was ready.
        """
        try:
            for part in list(self._parts):
                started = asyncio.Event()
                self._begin(part, started)
                await self._first_of(started)
                if self._stopping.is_set():
                    break
            else:
                say_ready(ready_fd, self._said)
                await self._stopping.wait()
        finally:
            notify("STOPPING=1")
            self._stopping.set()
            await asyncio.gather(*self._changes)
            for part in reversed(self._parts):
                await self._end(part.name)
            await asyncio.gather(*self._keepers.values())
        return self._code

    async def _first_of(self, started: asyncio.Event) -> None:
        waiting = [asyncio.create_task(event.wait()) for event in (started, self._stopping)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _keep(self, part: Part, started: asyncio.Event) -> None:
        """Start a part, and start it again."""
        loop, pause_s = asyncio.get_running_loop(), PAUSE_S[0]
        while not self._stopping.is_set():
            began_s = loop.time()
            code = await self._once(part, started)
            if self._stopping.is_set() or part not in self._parts:
                return
            if code in HOPELESS:
                logger.error("%s has ended with exit code %d, and would again: stopping", part.name, code)
                self.stop(code)
                return
            pause_s = PAUSE_S[0] if loop.time() - began_s > SETTLED_S else min(2 * pause_s, PAUSE_S[1])
            logger.error("%s has ended with exit code %d; it is started again in %g s", part.name, code, pause_s)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            except TimeoutError:
                pass  # The pause is over.

    async def _once(self, part: Part, started: asyncio.Event) -> int:
        # A socket, so that the part notices when we are killed, and ends: a master that is started again must find its
        # places free.
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *part.command, "--ready-fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),),
                    start_new_session=True, env=_ENVIRONMENT,
                )  # fmt: skip
            await self._watch(part, process, ours, started)
            return await process.wait()

    async def _watch(
        self, part: Part, process: asyncio.subprocess.Process, ours: socket.socket, started: asyncio.Event
    ) -> None:
        self.processes[part.name] = process
        try:
            if said := await asyncio.to_thread(ours.recv, 64):
                self._said = said.decode().strip()
                logger.info("%s is ready", part.name)
                started.set()
                self._ready.add(part.name)
                self._send_hang_ups()
            await process.wait()
        finally:
            self.processes.pop(part.name, None)
            self._ready.discard(part.name)
            self._to_hang_up.discard(part.name)

    async def _end(self, name: str) -> None:
        process = self.processes.get(name)
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            logger.error("%s does not stop: it is killed", name)
            process.kill()
            await process.wait()
