"""A process whose id the test chooses: clone3(2) with `set_tid`, which no other process that forks gets in the way of."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Generator
from contextlib import contextmanager

import pytest

_CLONE3 = 435  # on every architecture
_PR_SET_PDEATHSIG = 1
_ARGUMENTS = struct.Struct("=11Q")
"""flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup."""


class IdTaken(Exception):
    """Another process has the id by now."""


@contextmanager
def process_with_id(wanted: int) -> Generator[None]:
    """Have a process of ours with this id, which the system has given back; skip where the kernel lets nobody choose.

    Raises:
        IdTaken
    """
    try:
        pid = _clone(wanted)
    except FileExistsError as error:
        raise IdTaken(wanted) from error
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EINVAL}:
            raise
        pytest.skip(f"the kernel does not let us choose a process id: {error}")
    if not pid:
        ctypes.PyDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        while True:
            signal.pause()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _clone(wanted: int) -> int:
    """Fork, as os.fork() does, into a process with this id."""
    ids = (ctypes.c_int * 1)(wanted)
    arguments = _ARGUMENTS.pack(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(ids), 1, 0)
    # PyDLL keeps the interpreter's lock, so that the child, whose only thread this is, has it.
    pid = ctypes.PyDLL(None, use_errno=True).syscall(_CLONE3, arguments, len(arguments))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid
