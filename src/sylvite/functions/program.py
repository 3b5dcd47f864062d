"""Program: run one, and no more of what it writes is kept than fits."""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUTPUT_BYTES_MAX = 16 * 1024 * 1024
"""Of stdout and stderr together; beyond it the program is killed."""
PIECE = 64 * 1024
KILLED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """`stdout` holds stderr as well where they were not kept apart.  `retcode`: negative for a signal, as in Salt."""

    pid: int
    retcode: int
    stdout: str
    stderr: str

    @property
    def both(self) -> str:
        return self.stdout


def run_program(
    cmd: str | list[str],
    *,
    apart: bool,
    cwd: str | None = None,
    stdin: str | None = None,
    python_shell: bool = False,
    shell: str = "/bin/sh",
    env: Mapping[str, Any] | None = None,
    clean_env: bool = False,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end.  `apart`: keep stderr apart from stdout.

    Raises:
        ValueError: no command, or the line cannot be cut into words.
        OSError: it cannot be started.
        TimeoutError, BufferError: it took too long, or wrote too much, and was killed.
    """
    words = [shell, "-c", _line(cmd)] if python_shell else _words(cmd)
    process = subprocess.Popen(
        words,
        cwd=cwd or os.path.expanduser("~"),
        env=_environment(env, clean=clean_env),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if apart else subprocess.STDOUT,
        # A group of its own, so that what it has started ends with it.
        start_new_session=True,
    )
    with process:
        try:
            deadline = None if timeout is None else time.monotonic() + timeout
            out, err = _communicate(process, (stdin or "").encode(), deadline, timeout)
            retcode = process.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            _kill(process)
            raise TimeoutError(_too_long(timeout)) from None
        except BaseException:
            _kill(process)
            raise
    return Finished(process.pid, retcode, _text(out), _text(err))


def _too_long(timeout: float | None) -> str:
    return f"Timed out after {timeout or 0:g} seconds, and was killed"


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Nobody has waited for it yet, so that the number is still its own; what it has started is in its group.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(KILLED_WITHIN_S)


def _communicate(
    process: subprocess.Popen[bytes], given: bytes, deadline: float | None, timeout: float | None
) -> tuple[bytes, bytes]:
    """Write and read until both ends of its output are closed."""
    pieces: dict[int, list[bytes]] = {1: [], 2: []}
    size = 0
    with selectors.DefaultSelector() as selector:
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, number)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, 0)
        while selector.get_map():
            wait = None if deadline is None else deadline - time.monotonic()
            if wait is not None and wait <= 0:
                raise TimeoutError(_too_long(timeout))
            for key, _ in selector.select(wait):
                if key.data == 0:
                    given = _write(key.fd, given)
                    if not given:
                        selector.unregister(key.fileobj)
                        assert process.stdin is not None
                        process.stdin.close()
                    continue
                piece = os.read(key.fd, PIECE)
                if not piece:
                    selector.unregister(key.fileobj)
                    continue
                size += len(piece)
                if size > OUTPUT_BYTES_MAX:
                    raise BufferError(f"it wrote more than {OUTPUT_BYTES_MAX} bytes, and was killed")
                pieces[key.data].append(piece)
    return b"".join(pieces[1]), b"".join(pieces[2])


def _write(descriptor: int, given: bytes) -> bytes:
    """Return what is left to write; nothing where nobody reads any more."""
    try:
        return given[os.write(descriptor, given[:PIECE]) :] if given else b""
    except BrokenPipeError:
        return b""


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace").rstrip("\n")


def _line(cmd: str | list[str]) -> str:
    return cmd if isinstance(cmd, str) else shlex.join(str(word) for word in cmd)


def _words(cmd: str | list[str]) -> list[str]:
    words = shlex.split(cmd) if isinstance(cmd, str) else [str(word) for word in cmd]
    if not words:
        raise ValueError("there is no command")
    return words


def _environment(env: Mapping[str, Any] | None, *, clean: bool) -> dict[str, str]:
    found = {} if clean else dict(os.environ)
    for name, value in (env or {}).items():
        if value is None:
            found.pop(str(name), None)
        else:
            found[str(name)] = str(value)
    return found
