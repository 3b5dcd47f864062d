"""Returns: a job that was published, and what its minions send back, as it comes.  The asyncio shell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType

from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.client.start import Since
from sylvite.client.sync_client import ANSWER_S
from sylvite.errors import AckUnknown, SylviteError
from sylvite.jobs.batching import Batching
from sylvite.jobs.client_core import JobCore
from sylvite.jobs.collecting import Ask, Collecting, Done, Publish, Returned, Wait
from sylvite.jobs.publishing import Order, Publication, returns_of
from sylvite.jobs.returns import logger, naming, tell_gap


class AsyncReturns:
    """As `Returns`, with `async for`.  Made by `AsyncLocalClient`."""

    def __init__(self, bus: AsyncClient, core: JobCore, collecting: Collecting, order: Order | None = None) -> None:
        """`order`: of a batch, whose parts are published as there is room."""
        self.collecting = collecting
        self.ended = False
        self._bus, self._core, self._order = bus, core, order
        self._returns: AsyncSubscription | None = None
        self._answers: AsyncSubscription | None = None

    @property
    def jid(self) -> str:
        return self.collecting.jid

    async def listen(self, since: Since = None) -> None:
        """As `Returns.listen`."""
        self._returns = await self._subscribe(self.jid, since)

    async def __aenter__(self) -> AsyncReturns:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Returns.close`."""
        if isinstance(self.collecting, Batching) and self._returns is not None:
            self.collecting.leave(time.monotonic())
            try:
                await self._tell()
            except SylviteError as error:
                logger.warning("the end of the batch %s is not told: %s", self.jid, error)
        for subscription in (self._returns, self._answers):
            if subscription is not None:
                await subscription.close()
        self._returns = self._answers = None

    async def __aiter__(self) -> AsyncIterator[Returned]:
        while (found := await self.next()) is not None:
            yield found

    async def next(self, timeout_s: float | None = None) -> Returned | None:
        """As `Returns.next`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with naming(self.jid):
            while not self.ended:
                now = time.monotonic()
                step = self.collecting.step(now)
                await self._tell()
                match step:
                    case Done():
                        self.ended = True
                    case Ask():
                        await self._ask()
                    case Publish(minions):
                        await self._publish_part(minions)
                    case Wait(until):
                        limit = until if deadline is None else min(until, deadline)
                        if (found := await self._hear(max(limit - now, 0.0))) is not None:
                            return found
                        if deadline is not None and time.monotonic() >= deadline:
                            return None
        return None

    # -- The bus -----------------------------------------------------------------------------------------------------

    async def _subscribe(self, jid: str, since: Since = None) -> AsyncSubscription:
        return await self._bus.subscribe(startswith=returns_of(jid), since=since, on_gap=tell_gap)

    async def _hear(self, timeout_s: float) -> Returned | None:
        heard = [each for each in (self._returns, self._answers) if each is not None]
        found = await self._bus.next_of(heard, timeout_s)
        if found is None:
            return None
        subscription, event = found
        minion = event.tag.rpartition("/")[2]
        if subscription is self._answers:
            self.collecting.take_answer(minion, event.data, time.monotonic())
            return None
        return self.collecting.take(minion, event.data, time.monotonic())

    async def _ask(self) -> None:
        if self._answers is not None:
            await self._answers.close()
            self._answers = None
        asked = self.collecting.reachable(await asyncio.to_thread(self._core.roster.present))
        if asked:
            question = self._core.question(self.jid, asked)
            self._answers = await self._subscribe(question.jid)
            await publish(self._bus, question)
        self.collecting.asked(asked, time.monotonic())

    async def _publish_part(self, minions: list[str]) -> None:
        assert self._order is not None
        await publish(self._bus, self._core.part(self._order, self.jid, minions))
        self.collecting.expect(minions, time.monotonic())

    async def _tell(self) -> None:
        """Publish what a batch has to say of itself."""
        if isinstance(self.collecting, Batching) and (events := self.collecting.take_events()):
            await self._bus.publish_many(events, timeout_s=ANSWER_S)


async def publish(bus: AsyncClient, published: Publication) -> None:
    """As `returns.publish`."""
    try:
        await bus.publish_many(published.events, timeout_s=ANSWER_S)
    except SylviteError as error:
        if isinstance(error, AckUnknown):
            error.add_note(f"the job would be {published.jid}")
        raise
