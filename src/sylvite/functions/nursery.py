"""Nursery: the process of a minion that has all functions loaded, and forks a worker for each job.

`python -m sylvite.functions.nursery DESCRIPTOR`: of the control socket; at stdin what it is to know (worker_messages.Begin).  It has one
thread, so that a fork copies all there is of it, and it runs no function itself.  It alone waits for workers: until it has, the number of one is
nobody else's.  When the minion has gone, so has the other end of the control socket: then it ends, and all jobs with it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from sylvite.functions.bus import LocalBus
from sylvite.functions.context import Context
from sylvite.functions.library import Library
from sylvite.functions.worker import work
from sylvite.jobs import worker_messages as say
from sylvite.jobs.proc import begun_of, signal_tree
from sylvite.jobs.worker_messages import Begin

OOM_SCORE = "500"
"""Where memory is short, the system takes a worker before the minion's bus."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_prctl: Callable[..., int] = ctypes.CDLL(None).prctl


class _Child(NamedTuple):
    number: int
    begun: int


class Nursery:
    def __init__(self, control: socket.socket, run: Callable[[socket.socket], None]) -> None:
        """`run`: what a worker does with the stream of its job."""
        self._control, self._run = control, run
        self._children: dict[int, _Child] = {}
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._pid = os.getpid()

    def serve(self) -> None:
        """Fork workers and tell of their ends, until the minion is gone."""
        signal.signal(signal.SIGCHLD, _wake_up)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._say(say.Ready())
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        try:
            while self._turn({key.fd for key, _ in self._selector.select()}):
                pass
        finally:
            self._kill_all()

    def _turn(self, ready: set[int]) -> bool:
        if self._woken in ready:
            os.read(self._woken, 4096)
            self._reap()
        return self._control.fileno() not in ready or self._hear()

    def _hear(self) -> bool:
        """Do what the minion says; return whether it is still there."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, say.CONTROL_BYTES_MAX, 1)
        except ConnectionResetError:
            return False  # It has left without hearing us out.
        if not data:
            return False
        message = say.decode_to_nursery(data)
        match message:
            case say.Run():
                with socket.socket(fileno=descriptors[0]) as stream:
                    self._fork(message.number, stream)
            case say.Signal():
                for pid, child in self._children.items():
                    if child.number == message.number:
                        signal_tree(pid, child.begun, message.signal)
        return True

    def _say(self, message: say.FromNursery) -> None:
        try:
            self._control.send(say.encode(message))
        except OSError:
            pass  # The minion is gone; reading will show it.

    # -- Workers -----------------------------------------------------------------------------------------------------

    def _fork(self, number: int, stream: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._say(say.Refused(number, f"no process can be started: {error.strerror}"))
            return
        if pid == 0:
            self._be_worker(stream)
        # Nobody else waits for it: its start can be read, whether it has ended or not.
        self._children[pid] = _Child(number, begun_of(pid) or 0)

    def _be_worker(self, stream: socket.socket) -> None:
        """Become a process that owes the nursery nothing but its end; never returns."""
        status = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._pid:
                return
            self._selector.close()
            self._control.close()
            os.close(self._woken)
            os.close(self._wake)
            _write_oom_score()
            self._run(stream)
            status = 0
        finally:
            # Nothing of the nursery's own end is to happen in a worker.
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:  # Others are what jobs have left behind, which becomes the nursery's.
                self._say(say.Ended(child.number, status))

    def _kill_all(self) -> None:
        for pid, child in self._children.items():
            signal_tree(pid, child.begun, signal.SIGKILL)


def _wake_up(number: int, stack: object) -> None:
    """Do nothing: that there is somebody who takes the signal has it written to the wake-up descriptor."""
    del number, stack


def _write_oom_score() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(OOM_SCORE)
    except OSError:
        pass  # A system without it.


def make_library(begin: Begin, bus: LocalBus) -> Library:
    """Return a library in which all that is ours is loaded; what is the operator's own is run by workers only."""
    library = Library(Context(begin.opts, begin.grains, bus, publication={}))
    library.execution.warm()
    import_module("yaml")  # 27 ms, for nearly every job that has arguments.
    return library


def main() -> int:
    descriptor = int(sys.argv[1])
    # uvloop leaves those open that may be inherited: that of --ready-fd, for one, which others wait to see closed.
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
    control = socket.socket(fileno=descriptor)
    # Ctrl-C is for the minion, which then ends us; so is whatever else it handles.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    begin = say.decode_begin(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    bus = LocalBus(begin.socket, name="job")
    library = make_library(begin, bus)
    # What is there by now is shared with all workers: the collector is not to touch it.
    gc.collect()
    gc.freeze()
    Nursery(control, lambda stream: work(library, begin, stream)).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
