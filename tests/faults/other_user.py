"""Work that another user does, in a process forked from the test: it needs root."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
ENDS_WITHIN_S = 60.0
_PR_SET_PDEATHSIG = 1

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

IsWanted = Callable[[], bool]
"""Says whether to go on."""


class OtherUser:
    """Made by `other_user`."""

    def __init__(self, pid: int, stop: int, answer: int) -> None:
        self.pid, self._stop, self._answer = pid, stop, answer

    def result(self) -> Any:
        """Let it end; return what its work has returned.  Raises AssertionError: it failed, or does not end."""
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1
        said = b""
        while select.select([self._answer], [], [], ENDS_WITHIN_S)[0]:
            piece = os.read(self._answer, 65_536)
            if not piece:
                found = json.loads(said or b'{"failed": "it was killed"}')
                assert "failed" not in found, found["failed"]
                return found["result"]
            said += piece
        raise AssertionError("the process of another user does not end")

    def close(self) -> None:
        if self._stop >= 0:
            os.close(self._stop)
        os.close(self._answer)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@contextmanager
def other_user(
    work: Callable[[IsWanted], Any], folder: Path, *, uid: int = NOBODY, gid: int = NOBODY, groups: Sequence[int] = ()
) -> Generator[OtherUser]:
    """Run `work` as another user, with `folder` as its current one: what is above that may be closed to it.

    What it returns has to have a form in JSON.
    """
    stop_read, stop = os.pipe()
    answer, answer_write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(stop)
        os.close(answer)
        os._exit(_child(work, folder, (uid, gid, list(groups)), stop_read, answer_write))
    os.close(stop_read)
    os.close(answer_write)
    process = OtherUser(pid, stop, answer)
    try:
        yield process
    finally:
        process.close()


def _child(
    work: Callable[[IsWanted], Any], folder: Path, ids: tuple[int, int, list[int]], stop: int, answer: int
) -> int:
    try:
        os.chdir(folder)
        uid, gid, groups = ids
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
        # After the change of user, which takes it away again.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        said = {"result": work(lambda: not select.select([stop], [], [], 0)[0])}
    except BaseException:  # noqa: BLE001 - the top of a process; the test raises it again
        said = {"failed": traceback.format_exc()}
    os.write(answer, json.dumps(said).encode())
    return 0
