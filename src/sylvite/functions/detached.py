"""Detached: a run in a process of its own, which outlives whoever asked for it.

    python -m sylvite.functions.detached < request

The request is a map in MessagePack.  The process that is started makes another one, which runs the task, and ends when
that one has reached the bus: with exit code 0, or with 1 and the reason on stderr.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from sylvite.errors import SylviteError
from sylvite.functions.arguments import Arguments
from sylvite.functions.bus import LocalBus
from sylvite.functions.context import Context
from sylvite.functions.data import plain
from sylvite.functions.ending import ended_by_term
from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments, NotStarted
from sylvite.functions.grains_file import grains_of
from sylvite.functions.library import Library
from sylvite.functions.task import KINDS, Task, run_task

COMMAND = (sys.executable, "-P", "-m", "sylvite.functions.detached")
"""`-P`: nothing is imported from the folder that it is started in."""
REACHED = b"1"
AWAY_S = 300.0
"""How long a bus that goes away meanwhile is waited for, so that the end of a run is told."""


class Request(msgspec.Struct, frozen=True):
    """`kind`: its word.  `socket`: of the bus; None: where clients look."""

    kind: str
    name: str
    positional: list[Any]
    named: dict[str, Any]
    jid: str
    user: str
    opts: dict[str, Any]
    socket: str | None

    @property
    def task(self) -> Task:
        return Task(KINDS[self.kind], self.name, Arguments(self.positional, self.named), self.jid, self.user)


def request_for(task: Task, opts: Mapping[str, Any], socket: str | None) -> bytes:
    """Raises InvalidData: an argument, or an option, has no form in a message."""
    positional, named = plain(task.arguments.positional), plain(task.arguments.named)
    request = Request(task.kind.word, task.name, positional, named, task.jid, task.user, plain(dict(opts)), socket)
    return msgspec.msgpack.encode(request)


def start(request: bytes) -> None:
    """Start a run, and return when it has reached the bus.  Raises NotStarted."""
    done = subprocess.run(COMMAND, input=request, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    check(done.returncode, done.stderr)


def check(returncode: int, said: bytes) -> None:
    """Raises NotStarted: that is how the process has ended, and what it has said."""
    if returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        raise NotStarted(lines[-1] if lines else f"its process has ended with {returncode}")


def main() -> int:
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Request)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _run_alone(request, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    if said != REACHED:
        sys.stderr.buffer.write(said or b"its process has ended before it reached the bus")
    return 0 if said == REACHED else 1


def _run_alone(request: Request, writing: int) -> None:
    """Run the task, and end the process.  `writing`: where to say that the bus is reached, or why it is not."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    code = 1
    try:
        with LocalBus(request.socket, name=f"{request.kind} {request.name}", timeout_s=AWAY_S) as bus:
            bus.open()
            library = Library(Context(request.opts, grains_of(request.opts), bus))
            os.write(writing, REACHED)
            os.close(writing)
            writing = -1
            with ended_by_term():
                run_task(library, request.task)
            code = 0
    except (FunctionNotAvailable, InvalidArguments, FunctionFailed, KeyboardInterrupt):
        pass  # The bus was told.
    except SylviteError as error:
        if writing >= 0:
            os.write(writing, str(error).encode())
    finally:
        os._exit(code)  # Not the way that the other process ends: what it holds is not ours.


if __name__ == "__main__":
    sys.exit(main())
