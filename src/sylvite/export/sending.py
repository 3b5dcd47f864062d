"""Sending: the events of one webhook, in their order, each until it is taken, or is a dead letter.

Its place in the log is a durable cursor, which goes on when an event is done: a restart at any moment posts an event again
rather than never.  A receiver knows it by its `webhook-id`, which stays the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from sylvite.auth.webhooks import sign
from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.client.sync_connection import random_chance
from sylvite.core.event import Event, Gap
from sylvite.errors import SylviteError
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


class Sender:
    """One webhook.  `begin`: how it did before a restart."""

    def __init__(self, bus: AsyncClient, store: WebhookStore, webhook: Webhook, begin: State) -> None:
        """Raises InvalidSetting: as `poster_of`."""
        self._bus, self._store, self._webhook = bus, store, webhook
        self._poster = poster_of(webhook)
        self._state = begin
        self._gaps: list[Gap] = []

    async def run(self) -> None:
        """Post until it is cancelled, or the receiver wants no more.

        Raises:
            SylviteError: the bus has ended it, or the store cannot be used.
        """
        settings, name = self._webhook.settings, self._webhook.name
        subscription = await self._bus.subscribe(
            *settings.tags, exclude=settings.exclude, where=settings.where, cursor=self._webhook.cursor, since="newest",
            ack="manual", synced=True, on_gap=self._gaps.append, credit_bytes=CREDIT_BYTES,
        )  # fmt: skip
        async with subscription:
            logger.info("webhook %s: events go to %s", name, settings.url)
            while await self._next(subscription):
                pass

    async def _next(self, subscription: AsyncSubscription) -> bool:
        """Post the next event; return whether there is to be another one."""
        event = await subscription.next()
        for gap in self._gaps:
            await self._tell(GAP_TAG, {"first": gap.first, "next": gap.next, "count": gap.count, "reason": gap.reason})
        self._gaps.clear()
        if event is None:
            return False
        own = event.tag in (DEAD_TAG, GAP_TAG) and event.data.get("webhook") == self._webhook.name
        # What is told of this webhook is not for its own receiver: that would have no end.
        if not own and not await self._deliver(letter_of(event)):
            return False  # It was not taken: where the webhook begins again, it is the first.
        await subscription.ack(event)
        return True

    async def _deliver(self, letter: Letter) -> bool:
        """Post an event until it is done; return False where the receiver wants none any more."""
        state, now_ns = self._state, time.time_ns()
        # After a restart the one that was tried goes on with its attempts and its time.
        known = state if state.event == letter.id else State(event=letter.id, first_ns=now_ns)
        attempts, began_s = known.attempts, time.monotonic() - max(0, now_ns - known.first_ns) / 1e9
        while True:
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
