"""Publishing for callers: each is a publisher of its own at the broker, under the name of its token's owner."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, NamedTuple

import msgspec

from sylvite.api.access import Caller
from sylvite.client.async_client import AsyncClient
from sylvite.client.core import new_source_epoch
from sylvite.client.ticket import Published
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.core.level import Level
from sylvite.core.tag import check_tag
from sylvite.errors import AckUnknown, InvalidData, InvalidInput, NotAllowed

EVENTS_MAX = 10_000
KEY_CHARACTERS_MAX = 255
PUBLISHERS_MAX = 1024


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event, as a body says it."""

    tag: str
    data: dict[str, Any] = {}


class _Publisher:
    def __init__(self) -> None:
        self.source_epoch, self.seq = new_source_epoch(), 0
        self.lock = asyncio.Lock()


class Accepted(NamedTuple):
    """Where the first event is, and how many events there are, one behind the other."""

    published: Published
    events: int


class Publishing:
    def __init__(self, bus: AsyncClient) -> None:
        self._bus = bus
        self._publishers: dict[str, _Publisher] = {}

    async def publish(self, caller: Caller, events: list[Given], key: str = "", level: Level | None = None) -> Accepted:
        """Publish events at once, all or none, and return once they are as safe as `level` says; None: as the policy says.

        `key`: whoever says the same key again gets the first answer again, and nothing is published twice.

        Raises:
            InvalidTag, InvalidData, EventTooBig, InvalidInput: which event is wrong, and nothing was published.
            NotAllowed: a tag that this caller may not write.
            AckUnknown: nobody knows; say it again with the same key.
            SylviteError: the broker refused it.
        """
        block = _block(caller, events)
        if key:
            if len(key) > KEY_CHARACTERS_MAX or not key.isprintable():
                raise InvalidInput(f"Idempotency-Key has at most {KEY_CHARACTERS_MAX} characters")
            name = f"{caller.name}\n{key}".encode()
            source_epoch = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1
            return Accepted(await self._relay(caller.name, source_epoch, 0, block, level), len(events))
        return Accepted(await self._next(caller.token.id, caller.name, block, len(events), level), len(events))

    async def _next(
        self, publisher_name: str, sender: str, block: BlockBuilder, count: int, level: Level | None = Level.SYNCED
    ) -> Published:
        publisher = self._publisher(publisher_name)
        async with publisher.lock:
            seq = publisher.seq
            publisher.seq += count
            try:
                return await self._relay(sender, publisher.source_epoch, seq, block, level)
            except AckUnknown:
                # What comes next must not be taken for its retry, nor for something that lies before it.
                self._publishers.pop(publisher_name, None)
                raise

    async def publish_as(self, sender: str, events: list[tuple[str, dict[str, Any]]]) -> Published:
        """Publish what this process says on behalf of somebody; his scopes are not asked.  Raises: as `publish`."""
        block = BlockBuilder()
        for tag, data in events:
            block.add(tag, pack_data(data))
        return await self._next(sender, sender, block, len(events))

    def _publisher(self, name: str) -> _Publisher:
        found = self._publishers.pop(name, None) or _Publisher()
        self._publishers[name] = found
        if len(self._publishers) > PUBLISHERS_MAX:
            del self._publishers[next(iter(self._publishers))]
        return found

    async def _relay(
        self, sender: str, source_epoch: int, seq: int, block: BlockBuilder, level: Level | None
    ) -> Published:
        packed, count = block.take()
        return await self._bus.relay(sender, source_epoch, seq, packed, count, level=level)


def _block(caller: Caller, events: list[Given]) -> BlockBuilder:
    if not 0 < len(events) <= EVENTS_MAX:
        raise InvalidInput(f"a request publishes 1 to {EVENTS_MAX} events, not {len(events)}")
    block = BlockBuilder()
    for number, event in enumerate(events):
        where = f"event {number + 1}: " if len(events) > 1 else ""
        check_tag(event.tag)
        if not caller.grant.may_write(event.tag):
            raise NotAllowed(f"{where}this token has no scope that lets it publish {event.tag!r}")
        try:
            packed = pack_data(event.data)
        except InvalidData as error:
            raise InvalidData(f"{where}{error}") from error
        block.add(event.tag, packed)
    return block
