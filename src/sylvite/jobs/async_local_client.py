"""AsyncLocalClient: the asyncio shell of LocalClient, with the same names in the same order.

async with AsyncLocalClient.connect() as local:
    print(await local.cmd("web*", "test.ping"))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Literal, Unpack

from sylvite.client.async_client import AsyncClient
from sylvite.errors import InvalidInput
from sylvite.jobs.async_returns import AsyncReturns, publish
from sylvite.jobs.client_core import JobCore, MasterPlace, Options, able_to, pick, place_of, since_of
from sylvite.jobs.collecting import shape_missing, shape_return
from sylvite.jobs.local_client import LOOK_S, RECONNECT_S, Shown
from sylvite.jobs.publishing import Functions, JobOptions, Publication, Targeted
from sylvite.jobs.targets import DELIMITER


class _Connecting(Awaitable["AsyncLocalClient"]):
    """What `AsyncLocalClient.connect` returns: await it, or enter it."""

    def __init__(self, connect: Callable[[], Awaitable[AsyncLocalClient]]) -> None:
        self._connect = connect
        self._client: AsyncLocalClient | None = None

    def __await__(self) -> Generator[Any, None, AsyncLocalClient]:
        return self._connect().__await__()

    async def __aenter__(self) -> AsyncLocalClient:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.close()


class AsyncLocalClient:
    """As `LocalClient`, with `await` and `async for`."""

    def __init__(self, bus: AsyncClient, core: JobCore) -> None:
        self._bus, self._core = bus, core

    @classmethod
    def connect(cls, place: MasterPlace | Options | None = None, *, timeout_s: float = 10.0) -> _Connecting:
        """As `LocalClient.connect`; `await` it, or use it with `async with`."""

        async def connected() -> AsyncLocalClient:
            core = JobCore(place_of(place))
            core.check_user()
            bus = await AsyncClient.connect(
                core.place.socket, timeout_s=timeout_s, reconnect_s=RECONNECT_S, name="jobs"
            )
            return cls(bus, core)

        return _Connecting(connected)

    async def __aenter__(self) -> AsyncLocalClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As `LocalClient.close`."""
        await self._bus.close()

    def new_jid(self) -> str:
        """As `LocalClient.new_jid`."""
        return self._core.new_jid()

    # -- Run a job, and do not wait ----------------------------------------------------------------------------------

    async def pub(
        self, tgt: Targeted, fun: Functions, arg: Sequence[Any] = (), **options: Unpack[JobOptions]
    ) -> dict[str, Any]:
        """As `LocalClient.pub`."""
        published = await asyncio.to_thread(self._core.prepare, self._core.order(tgt, fun, arg, options))
        if published.minions:
            await publish(self._bus, published)
        return published.as_map()

    async def run_job(
        self, tgt: Targeted, fun: Functions, arg: Sequence[Any] = (), **options: Unpack[JobOptions]
    ) -> dict[str, Any]:
        """As `LocalClient.run_job`."""
        return await self.pub(tgt, fun, arg, **options)

    async def cmd_async(
        self, tgt: Targeted, fun: Functions, arg: Sequence[Any] = (), **options: Unpack[JobOptions]
    ) -> str | Literal[0]:
        """As `LocalClient.cmd_async`."""
        return (await self.pub(tgt, fun, arg, **options)).get("jid", 0)

    # -- Run a job, and wait for its returns -------------------------------------------------------------------------

    async def start(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> tuple[Publication, AsyncReturns]:
        """As `LocalClient.start`."""
        published = await asyncio.to_thread(self._core.prepare, self._core.order(tgt, fun, arg, options))
        collecting = self._core.collecting(published.jid, published.minions, timeout_s, away=published.away)
        returns = AsyncReturns(self._bus, self._core, collecting)
        if published.minions:
            await returns.listen()
            try:
                await publish(self._bus, published)
            except BaseException:
                await returns.close()
                raise
        return published, returns

    async def start_batch(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        batch: str | int = "10%",
        batch_wait_s: float = 0.0,
        failhard: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> tuple[Publication, AsyncReturns]:
        """As `LocalClient.start_batch`."""
        order = self._core.order(tgt, fun, arg, options)
        published = await asyncio.to_thread(self._core.prepare, order)
        batching = self._core.batching(published, batch, timeout_s, wait_s=batch_wait_s, failhard=failhard)
        if not published.minions:
            return published, AsyncReturns(self._bus, self._core, self._core.collecting(published.jid, [], timeout_s))
        returns = AsyncReturns(self._bus, self._core, batching, order)
        await returns.listen()
        return published, returns

    async def cmd(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        full_return: bool = False,
        **options: Unpack[JobOptions],
    ) -> dict[str, Any]:
        """As `LocalClient.cmd`."""
        _, returns = await self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        async with returns:
            found = {
                each.minion: shape_return(each.data) if full_return else each.data["return"] async for each in returns
            }
            return found | dict.fromkeys(returns.collecting.missing, False)

    async def cmd_full_return(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Shown:
        """As `LocalClient.cmd_full_return`."""
        _, returns = await self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        async with returns:
            return {each.minion: shape_return(each.data) async for each in returns}

    async def cmd_iter(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncIterator[Shown]:
        """As `LocalClient.cmd_iter`."""
        _, returns = await self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        async with returns:
            async for each in returns:
                yield {each.minion: shape_return(each.data)}
            for minion in returns.collecting.missing:
                yield {minion: {"failed": True}}

    async def cmd_iter_no_block(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncIterator[Shown | None]:
        """As `LocalClient.cmd_iter_no_block`."""
        _, returns = await self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        async with returns:
            while not returns.ended:
                found = await returns.next(LOOK_S)
                if found is not None or not returns.ended:
                    yield None if found is None else {found.minion: shape_return(found.data)}
            for minion in returns.collecting.missing:
                yield {minion: {"failed": True}}

    async def cmd_cli(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncIterator[Shown]:
        """As `LocalClient.cmd_cli`."""
        _, returns = await self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        async with returns:
            async for each in returns:
                yield {each.minion: shape_return(each.data)}
            for minion, shown in (await self.shape_missing(returns)).items():
                yield {minion: shown}

    async def shape_missing(self, returns: AsyncReturns) -> Shown:
        """As `LocalClient.shape_missing`."""
        missing = returns.collecting.missing
        present = await asyncio.to_thread(self._core.roster.present) if missing else None
        return {minion: shape_missing(returns.jid, minion, present) for minion in missing}

    async def cmd_batch(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        batch: str | int = "10%",
        batch_wait_s: float = 0.0,
        failhard: bool = False,
        raw: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncIterator[dict[str, Any]]:
        """As `LocalClient.cmd_batch`."""
        _, returns = await self.start_batch(
            tgt, fun, arg, batch=batch, batch_wait_s=batch_wait_s, failhard=failhard, timeout_s=timeout_s, **options
        )
        async with returns:
            async for each in returns:
                yield {each.minion: shape_return(each.data) if raw else each.data["return"]}

    async def cmd_subset(
        self,
        tgt: Targeted,
        fun: str,
        arg: Sequence[Any] = (),
        *,
        subset: int = 3,
        timeout_s: float | None = None,
        full_return: bool = False,
        **options: Unpack[JobOptions],
    ) -> dict[str, Any]:
        """As `LocalClient.cmd_subset`."""
        chosen = await self.choose_subset(tgt, fun, subset, timeout_s=timeout_s, **options)
        listed: JobOptions = {**options, "tgt_type": "list"}
        return (
            await self.cmd(chosen, fun, arg, timeout_s=timeout_s, full_return=full_return, **listed) if chosen else {}
        )

    async def choose_subset(
        self, tgt: Targeted, fun: str, subset: int, *, timeout_s: float | None = None, **options: Unpack[JobOptions]
    ) -> list[str]:
        """As `LocalClient.choose_subset`."""
        if subset < 1:
            raise InvalidInput(f"subset: {subset} minions are none")
        asked: JobOptions = {
            "tgt_type": options.get("tgt_type", "glob"), "delimiter": options.get("delimiter", DELIMITER)
        }  # fmt: skip
        return pick(able_to(fun, await self.cmd(tgt, "sys.list_functions", timeout_s=timeout_s, **asked)), subset)

    # -- Returns of a job that was published before ------------------------------------------------------------------

    async def get_iter_returns(
        self, jid: str, minions: Sequence[str], *, timeout_s: float | None = None
    ) -> AsyncIterator[Shown]:
        """As `LocalClient.get_iter_returns`."""
        async with await self._heard(jid, minions, timeout_s) as returns:
            async for each in returns:
                yield {each.minion: shape_return(each.data)}
            for minion in returns.collecting.missing:
                yield {minion: {"failed": True}}

    async def get_event_iter_returns(
        self, jid: str, minions: Sequence[str], *, timeout_s: float | None = None
    ) -> AsyncIterator[Shown]:
        """As `LocalClient.get_event_iter_returns`."""
        wait_s = self._core.place.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + wait_s
        async with await self._heard(jid, minions, wait_s) as returns:
            while (each := await returns.next(max(deadline - time.monotonic(), 0.0))) is not None:
                yield {each.minion: shape_return(each.data)}

    async def get_returns(self, jid: str, minions: Sequence[str], *, timeout_s: float | None = None) -> dict[str, Any]:
        """As `LocalClient.get_returns`."""
        found = self.get_event_iter_returns(jid, minions, timeout_s=timeout_s)
        return {minion: shown["ret"] async for each in found for minion, shown in each.items()}

    async def here(self) -> list[str]:
        """As `LocalClient.here`."""
        return await asyncio.to_thread(self._core.here)

    async def get_cache_returns(self, jid: str) -> Shown:
        """As `LocalClient.get_cache_returns`."""
        return await asyncio.to_thread(self._core.cached, jid)

    async def _heard(self, jid: str, minions: Sequence[str], timeout_s: float | None) -> AsyncReturns:
        returns = AsyncReturns(self._bus, self._core, self._core.collecting(jid, minions, timeout_s))
        await returns.listen(since_of(jid))
        return returns
