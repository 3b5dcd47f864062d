"""Clients: functions called from a program of one's own, with the options of a node.

    from sylvite import RunnerClient, master_opts

    with RunnerClient(master_opts()) as runners:
        print(runners.cmd("test.arg", ["x"], kwarg={"y": 1}))

`async_clients.py` has the same for asyncio.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from sylvite.client.address import VARIABLE
from sylvite.client.sync_client import Client
from sylvite.errors import WaitTimeout
from sylvite.functions import detached
from sylvite.functions.arguments import Arguments, parse_arguments
from sylvite.functions.bus import LocalBus
from sylvite.functions.context import Context
from sylvite.functions.errors import FunctionFailed
from sylvite.functions.execute import Outcome, call, call_function
from sylvite.functions.grains_file import grains_of
from sylvite.functions.jid_event import Shown
from sylvite.functions.library import Library
from sylvite.functions.loader import Loader
from sylvite.functions.low import make_arguments, read_low
from sylvite.functions.opts import bus_of
from sylvite.functions.task import RUNNER, WHEEL, Kind, Task, run_task
from sylvite.jobs.jid import JidMaker, parse_jid
from sylvite.jobs.user import calling_user

WITHIN_S = 300.0
"""How long `cmd_sync` waits, unless it is told otherwise: Salt's `rest_timeout`."""


class _Functions:
    """A library over the options of a node and its bus.  A context manager; one thread at a time may use it."""

    def __init__(self, opts: Mapping[str, Any], *, bus: LocalBus | None = None) -> None:
        """`opts`: as `master_opts` and `minion_opts` return them.  `bus`: another one than that of the node, or of SYLVITE_SOCKET.

        Nothing is connected to before it is needed.
        """
        self.opts = dict(opts)
        self.opts.setdefault("__cli", os.path.basename(sys.argv[0]))
        role = str(opts.get("__role", self._role))
        if bus is None and VARIABLE in os.environ:
            bus = LocalBus(os.environ[VARIABLE], name=type(self).__name__)
        self.bus = bus if bus is not None else LocalBus(bus_of(opts), node=role, name=type(self).__name__)
        self.library = Library(Context(self.opts, grains_of(opts), self.bus))

    _role: ClassVar[str] = "master"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.bus.close()


class TaskClient(_Functions):
    """Runs of one kind of function, announced on the bus before and after.  RunnerClient and WheelClient are ones."""

    kind: ClassVar[Kind]

    def __init__(self, opts: Mapping[str, Any], *, bus: LocalBus | None = None) -> None:
        super().__init__(opts, bus=bus)
        self._jids = JidMaker(process=os.getpid() if opts.get("unique_jid") else None)

    @property
    def functions(self) -> Loader:
        """What there is to run."""
        return self.library.loaders[self.kind.word]

    def cmd(
        self,
        fun: str,
        arg: Any = None,
        pub_data: Mapping[str, Any] | None = None,
        kwarg: Mapping[str, Any] | None = None,
        *,
        full_return: bool = False,
        watch: Shown | None = None,
    ) -> Any:
        """Run a function here, and return what it returns; with `full_return` the data of its last event.

        `arg`: texts in it are read as those of a command line.  `pub_data`: `jid` and `user` of the run, if they are to
        be others.  `watch`: sees the events that the function fires of its run.

        Raises:
            FunctionNotAvailable, InvalidArguments, FunctionFailed: the bus has been told.
            SylviteError: there is no bus; nothing was run.
        """
        told = pub_data or {}
        task = self.task(fun, make_arguments(arg, kwarg), jid=told.get("jid"), user=told.get("user"))
        outcome = self.run(task, watch)
        return task.told(outcome) if full_return else outcome.value

    def task(self, fun: str, arguments: Arguments, *, jid: str | None = None, user: str | None = None) -> Task:
        """Return a run that is to be; it has a job id by now, so that it can be waited for before it begins.

        Raises:
            InvalidJid: `jid` is none.
        """
        if jid is not None:
            parse_jid(jid)
        return Task(self.kind, fun, arguments, jid or self._jids.make(time.time_ns()), user or calling_user())

    def task_of(self, low: Mapping[str, Any], *, user: str | None = None) -> Task:
        """Return what a map asks for: `fun`, `arg`, `kwarg`, and arguments by name.  Raises InvalidLow, InvalidJid."""
        asked = read_low(low)
        return self.task(asked.name, asked.arguments, jid=asked.jid, user=user or asked.user)

    def run(self, task: Task, watch: Shown | None = None) -> Outcome:
        """As `cmd`."""
        return run_task(self.library, task, watch)

    def start(self, task: Task) -> dict[str, str]:
        """Run it in a process of its own, and return as `cmd_async`."""
        self.bus.open()  # What is wrong with the bus is best said here.
        detached.start(detached.request_for(task, self.opts, self.bus.socket))
        return task.ticket

    def cmd_async(self, low: Mapping[str, Any]) -> dict[str, str]:
        """Start a run in a process of its own; return the beginning of its tags, and its job id: `tag` and `jid`.

        It goes on when this process ends; its events say what came of it.

        Raises:
            InvalidLow, InvalidData: it cannot be asked for so.  NotStarted.
            SylviteError: there is no bus.
        """
        return self.start(self.task_of(low))

    def asynchronous(self, fun: str, low: Mapping[str, Any], user: str = "UNKNOWN") -> dict[str, str]:
        """As `cmd_async`, with the function and the user beside the map."""
        return self.start(self.task_of({**low, "fun": fun}, user=user))

    def cmd_sync(self, low: Mapping[str, Any], timeout: float | None = None, *, full_return: bool = False) -> Any:
        """Start a run in a process of its own, wait for its end, and return as `cmd`.

        Raises:
            FunctionFailed: the function is not there, cannot be called so, or has failed.
            WaitTimeout: it has not ended in time, and goes on.  And as `cmd_async`.
        """
        task = self.task_of(low)
        within_s = WITHIN_S if timeout is None else timeout
        with (
            Client.connect(self.bus.socket, name=type(self).__name__) as client,
            client.subscribe(exact=[f"{task.base}/ret"]) as subscription,
        ):
            self.start(task)
            event = subscription.next(within_s)
        if event is None:
            raise WaitTimeout(f"{task.name} has not ended within {within_s:g} s; it goes on as {task.base}")
        return returned(task, event.data, full_return=full_return)


def returned(task: Task, data: dict[str, Any], *, full_return: bool) -> Any:
    """Return what the last event of a run says.  Raises FunctionFailed: it has failed; `full_return` shows that too."""
    if full_return:
        return data
    if not data.get("success") and "retcode" in data:
        raise FunctionFailed(task.name, RuntimeError(str(data.get("return"))))
    return data.get("return")


class RunnerClient(TaskClient):
    """Runners, with the options of a master."""

    kind = RUNNER


class WheelClient(TaskClient):
    """Wheel functions, which look after a master."""

    kind = WHEEL


class Caller(_Functions):
    """Execution functions, with the options of a minion, in this process.

    What they send to the master goes over the bus of the minion.
    """

    _role = "minion"

    def cmd(self, fun: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function as it stands, and return what it returns.

        Raises:
            FunctionNotAvailable, InvalidArguments, FunctionFailed.
        """
        return call_function(fun, self.library.execution.find(fun), Arguments(list(args), kwargs))

    def function(self, fun: str, *args: Any, **kwargs: Any) -> Any:
        """As `cmd`, with texts read as those of a command line: numbers, truths, `name=value`."""
        given = parse_arguments([*args])
        return call(self.library, fun, Arguments(given.positional, {**given.named, **kwargs})).value
