"""Clients of functions for asyncio: the same names, the same order.  Functions themselves run in a thread."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from sylvite.client.async_client import AsyncClient
from sylvite.errors import WaitTimeout
from sylvite.functions import clients, detached
from sylvite.functions.bus import LocalBus
from sylvite.functions.jid_event import Shown
from sylvite.functions.task import Task


class _OneAtATime:
    """Calls what blocks in a thread; the next one waits for it."""

    def __init__(self, inner: clients.TaskClient | clients.Caller) -> None:
        self._inner = inner
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._call(self._inner.close)

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async with self._lock:
            return await asyncio.to_thread(function, *args, **kwargs)


class _AsyncTaskClient(_OneAtATime):
    def __init__(self, client: clients.TaskClient) -> None:
        super().__init__(client)
        self._client = client

    async def cmd(
        self,
        fun: str,
        arg: Any = None,
        pub_data: Mapping[str, Any] | None = None,
        kwarg: Mapping[str, Any] | None = None,
        *,
        full_return: bool = False,
        watch: Shown | None = None,
    ) -> Any:
        """As `TaskClient.cmd`; `watch` is called in the thread."""
        return await self._call(self._client.cmd, fun, arg, pub_data, kwarg, full_return=full_return, watch=watch)

    async def cmd_async(self, low: Mapping[str, Any]) -> dict[str, str]:
        """As `TaskClient.cmd_async`."""
        return await self._start(self._client.task_of(low))

    async def asynchronous(self, fun: str, low: Mapping[str, Any], user: str = "UNKNOWN") -> dict[str, str]:
        """As `TaskClient.asynchronous`."""
        return await self._start(self._client.task_of({**low, "fun": fun}, user=user))

    async def cmd_sync(self, low: Mapping[str, Any], timeout: float | None = None, *, full_return: bool = False) -> Any:
        """As `TaskClient.cmd_sync`; any number may be waited for at once."""
        task = self._client.task_of(low)
        within_s = clients.WITHIN_S if timeout is None else timeout
        async with (
            AsyncClient.connect(self._client.bus.socket, name=type(self).__name__) as client,
            await client.subscribe(exact=[f"{task.base}/ret"]) as subscription,
        ):
            await self._start(task)
            event = await subscription.next(within_s)
        if event is None:
            raise WaitTimeout(f"{task.name} has not ended within {within_s:g} s; it goes on as {task.base}")
        return clients.returned(task, event.data, full_return=full_return)

    async def _start(self, task: Task) -> dict[str, str]:
        await self._call(self._client.bus.open)
        request = detached.request_for(task, self._client.opts, self._client.bus.socket)
        process = await asyncio.create_subprocess_exec(
            *detached.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, said = await process.communicate(request)
        detached.check(process.returncode or 0, said)
        return task.ticket


class AsyncRunnerClient(_AsyncTaskClient):
    """Runners, with the options of a master."""

    def __init__(self, opts: Mapping[str, Any], *, bus: LocalBus | None = None) -> None:
        """As `RunnerClient`."""
        super().__init__(clients.RunnerClient(opts, bus=bus))


class AsyncWheelClient(_AsyncTaskClient):
    """Wheel functions, which look after a master."""

    def __init__(self, opts: Mapping[str, Any], *, bus: LocalBus | None = None) -> None:
        """As `WheelClient`."""
        super().__init__(clients.WheelClient(opts, bus=bus))


class AsyncCaller(_OneAtATime):
    """Execution functions, with the options of a minion."""

    def __init__(self, opts: Mapping[str, Any], *, bus: LocalBus | None = None) -> None:
        """As `Caller`."""
        self._caller = clients.Caller(opts, bus=bus)
        super().__init__(self._caller)

    async def cmd(self, fun: str, *args: Any, **kwargs: Any) -> Any:
        """As `Caller.cmd`."""
        return await self._call(self._caller.cmd, fun, *args, **kwargs)

    async def function(self, fun: str, *args: Any, **kwargs: Any) -> Any:
        """As `Caller.function`."""
        return await self._call(self._caller.function, fun, *args, **kwargs)
