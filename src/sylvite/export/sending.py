"""Sending: the events of one webhook, in their order, each until it is taken, or is a dead letter.

Its place in the log is a durable cursor, which goes on when an event is done: a restart at any moment posts an event again
rather than never.  In a cluster the masters post together, as a group (daemons/shared_webhooks.py).  A receiver knows it by its `webhook-id`, which stays the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Protocol

import msgspec

from sylvite.auth.webhooks import sign
from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.client.sync_connection import random_chance
from sylvite.core.event import Event, Gap
from sylvite.errors import LeaseLost, SylviteError
from sylvite.export.address import parse_networks, parse_url
from sylvite.export.judging import Outcome, Verdict, judge, pause_s
from sylvite.export.posting import Poster
from sylvite.export.settings import Webhook
from sylvite.export.store import State, WebhookStore
from sylvite.version import __version__

DEAD_TAG = "webhooks/dead"
GAP_TAG = "webhooks/gap"
CREDIT_BYTES = 256 * 1024
"""How much waits here of a webhook whose receiver is slow; the rest waits in the log."""
logger = logging.getLogger("sylvite.webhooks")


class Letter(NamedTuple):
    """What is posted of an event.  `id`: the same each time."""

    id: str
    tag: str
    body: bytes


def letter_of(event: Event) -> Letter:
    return Letter(f"evt_{event.epoch:016x}_{event.offset}", event.tag, msgspec.json.encode(event.envelope()))


def poster_of(webhook: Webhook) -> Poster:
    """Raises InvalidSetting: its URL, networks or certificates cannot be used."""
    settings = webhook.settings
    target = parse_url(settings.url, allow_http=settings.allow_http)
    return Poster(target, parse_networks(settings.allow_networks), settings.timeout_s, settings.ca_file)


async def post_letter(poster: Poster, webhook: Webhook, letter: Letter) -> Outcome:
    """Post it, signed with the time of now."""
    at_s = int(time.time())
    headers: Mapping[str, str] = {
        "content-type": "application/json",
        "user-agent": f"sylvite/{__version__}",
        "webhook-id": letter.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(webhook.secrets, letter.id, at_s, letter.body),
    }
    return await poster.post(letter.body, headers)


class Source(Protocol):
    """Where the events of a webhook come from, in an order."""

    async def next(self) -> Event | Gap | None:
        """Wait for the next one; None where there will be none any more."""
        ...

    def check(self) -> None:
        """Raises LeaseLost: it is another master by now that posts what came last."""
        ...

    async def ack(self, item: Event | Gap) -> None:
        """It is done.  Raises LeaseLost: another master does it again."""
        ...


Open = Callable[[Webhook], AbstractAsyncContextManager[Source]]


class _Log:
    """The log of this master, as a source."""

    def __init__(self, subscription: AsyncSubscription, gaps: deque[Gap]) -> None:
        self._subscription, self._gaps = subscription, gaps
        self._event: Event | None = None

    async def next(self) -> Event | Gap | None:
        if self._event is None and not self._gaps:
            self._event = await self._subscription.next()
        if self._gaps:
            return self._gaps.popleft()
        event, self._event = self._event, None
        return event

    def check(self) -> None:
        """It is nobody else's."""

    async def ack(self, item: Event | Gap) -> None:
        if isinstance(item, Event):
            await self._subscription.ack(item)


def log_of(bus: AsyncClient) -> Open:
    """Return what reads the log of this master, by a durable cursor."""

    @asynccontextmanager
    async def opened(webhook: Webhook) -> AsyncGenerator[Source]:
        settings, gaps = webhook.settings, deque[Gap]()
        async with await bus.subscribe(
            *settings.tags, exclude=settings.exclude, where=settings.where, cursor=webhook.cursor, since="newest",
            ack="manual", synced=True, on_gap=gaps.append, credit_bytes=CREDIT_BYTES,
        ) as subscription:  # fmt: skip
            yield _Log(subscription, gaps)

    return opened


class Sender:
    """One webhook.  `begin`: how it did before a restart."""

    def __init__(self, bus: AsyncClient, open_: Open, store: WebhookStore, webhook: Webhook, begin: State) -> None:
        """Raises InvalidSetting: as `poster_of`."""
        self._bus, self._open, self._store, self._webhook = bus, open_, store, webhook
        self._poster = poster_of(webhook)
        self._state = begin

    async def run(self) -> None:
        """Post until it is cancelled, or the receiver wants no more.

        Raises:
            SylviteError: the bus has ended it, or the store cannot be used.
        """
        async with self._open(self._webhook) as source:
            logger.info("webhook %s: events go to %s", self._webhook.name, self._webhook.settings.url)
            while await self._next(source):
                pass

    async def _next(self, source: Source) -> bool:
        """Post the next event; return whether there is to be another one."""
        item = await source.next()
        try:
            # Where it is not taken, it is the first one when the webhook begins again.
            if item is None or not await self._is_done(source, item):
                return False
            await source.ack(item)
        except LeaseLost as error:
            logger.warning("webhook %s: %s", self._webhook.name, error)
        return True

    async def _is_done(self, source: Source, item: Event | Gap) -> bool:
        if isinstance(item, Gap):
            await self._tell(
                GAP_TAG, {"first": item.first, "next": item.next, "count": item.count, "reason": item.reason}
            )
            return True
        # What is told of this webhook is not for its own receiver: that would have no end.
        own = item.tag in (DEAD_TAG, GAP_TAG) and item.data.get("webhook") == self._webhook.name
        return own or await self._deliver(source, letter_of(item))

    async def _deliver(self, source: Source, letter: Letter) -> bool:
        """Post an event until it is done; return False where the receiver wants none any more.

        Raises:
            LeaseLost: it is another master's.
        """
        state, now_ns = self._state, time.time_ns()
        # After a restart the one that was tried goes on with its attempts and its time.
        known = state if state.event == letter.id else State(event=letter.id, first_ns=now_ns)
        attempts, began_s = known.attempts, time.monotonic() - max(0, now_ns - known.first_ns) / 1e9
        while True:
            source.check()
            outcome = await post_letter(self._poster, self._webhook, letter)
            attempts += 1
            verdict = judge(outcome, attempts, time.monotonic() - began_s, self._webhook.settings.give_up_s)
            now = State("", letter.id, attempts, known.first_ns, outcome.reason)
            match verdict:
                case Verdict.DONE:
                    self._taken()
                    return True
                case Verdict.ENDED:
                    self._store.end(self._webhook.name, "the receiver wants no more (410)")
                    logger.warning("webhook %s has ended: its receiver wants no more", self._webhook.name)
                    return False
                case Verdict.DEAD:
                    if await self._bury(letter, now):
                        return True
                case Verdict.AGAIN:
                    pass
            self._failed(now)
            await asyncio.sleep(pause_s(outcome, attempts, random_chance()))

    def _taken(self) -> None:
        if self._state != State():
            self._store.taken(self._webhook.name)
            self._state = State()
            logger.info("webhook %s: its receiver takes events again", self._webhook.name)

    def _failed(self, state: State) -> None:
        name = self._webhook.name
        if self._state.reason != state.reason:
            logger.warning("webhook %s: %s; it is tried again", name, state.reason)
        self._state = state
        self._store.failed(name, state.event, state.attempts, state.first_ns, state.reason)

    async def _bury(self, letter: Letter, state: State) -> bool:
        name = self._webhook.name
        buried = self._store.bury(
            name, letter.id, letter.tag, letter.body, attempts=state.attempts, first_ns=state.first_ns,
            now_ns=time.time_ns(), reason=state.reason,
        )  # fmt: skip
        if not buried:
            logger.error("webhook %s: too many dead letters; replay or drop some", name)
            return False
        self._state = State()
        await self._tell(
            DEAD_TAG, {"event": letter.id, "tag": letter.tag, "attempts": state.attempts, "reason": state.reason}
        )
        return True

    async def _tell(self, tag: str, data: dict[str, object]) -> None:
        logger.warning("webhook %s: %s: %s", self._webhook.name, tag, data)
        try:
            await self._bus.publish(tag, {"webhook": self._webhook.name, **data})
        except SylviteError as error:
            logger.error("webhook %s: that could not be published: %s", self._webhook.name, error)
