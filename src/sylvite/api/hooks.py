"""Webhooks in: what a sender that knows a secret posts to `/v1/hooks/NAME` becomes an event, once.

The answer comes when the event is synced.  Whoever does not know the secret learns nothing: neither what was wrong, nor
whether there is such a hook.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.answers import Items, answer
from sylvite.api.bodies import read_body
from sylvite.api.hook_memory import Memory
from sylvite.api.parameters import check_names, id_of
from sylvite.api.patience import Patience
from sylvite.api.problems import BodyTooBig, TooManyRequests
from sylvite.api.rates import Rates
from sylvite.auth.hook_rules import Rule, make_event, read_rule
from sylvite.auth.webhooks import Checking, Delivery, NotShown, check
from sylvite.client.async_client import AsyncClient
from sylvite.client.core import new_source_epoch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Position, pack_data
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.webhooks import BODY_BYTES_MAX, WebhookIn
from sylvite.daemons.secret_files import read_secrets
from sylvite.errors import NotAuthenticated, SylviteError

if TYPE_CHECKING:
    from sylvite.api.service import Service

FAILURES_MAX, FAILURES_S = 20, 60.0
"""Wrong deliveries of one address in this time: then it waits.  A right one is taken all the same."""
TOLD_EVERY_S = 30.0
"""Of refused deliveries there is one event in this time for each hook, with their number."""
UNKNOWN = ""
"""Stands for all names that are no hook."""
logger = logging.getLogger("sylvite.api")


class Counts(msgspec.Struct):
    """`repeated`: answered with the event that was there already."""

    accepted: int = 0
    repeated: int = 0
    refused: int = 0


class _Hook(NamedTuple):
    settings: WebhookIn
    checking: Checking
    rule: Rule
    rates: Rates


class Taken(NamedTuple):
    """Where the event of a delivery is.  `is_new`: this request has made it."""

    position: Position
    is_new: bool


class _Refusals:
    """What was refused since it was told last; `last`: why."""

    def __init__(self) -> None:
        self.count, self.told_s, self.last = 0, float("-inf"), ""


class Hooks:
    def __init__(self, bus: AsyncClient) -> None:
        self.counts: dict[str, Counts] = {}
        self._bus = bus
        self._hooks: dict[str, _Hook] = {}
        self._memory: Memory | None = None
        self._remembering = asyncio.Lock()
        self._patience = Patience()
        self._refusals: dict[str, _Refusals] = {}

    def follow(self, configuration: Configuration[MasterOptions]) -> None:
        """Take what the options of a master say, also once they are read again.  Raises: as `configure`."""

        def take(options: MasterOptions) -> None:
            self.configure(options.webhooks_in, options.data_dir)

        take(configuration.options)
        configuration.on_change(take)

    def configure(self, wanted: Mapping[str, WebhookIn], folder: Path) -> None:
        """Take these from now on, with the secrets that their files hold now.  `folder`: where it is kept what has come.

        Raises:
            InvalidSetting: something is wrong with one of them; all stay as they were.
            JobStoreFailed: what was delivered before cannot be read.
        """
        hooks = {name: _read(name, settings) for name, settings in wanted.items()}
        if hooks and self._memory is None:
            self._memory = Memory(folder)
        self._hooks = hooks
        self.counts = {name: self.counts.get(name, Counts()) for name in (*hooks, UNKNOWN)}

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()

    def shown(self) -> list[HookItem]:
        """Return the hooks without their secrets, and what has come."""
        return [
            HookItem(name, hook.settings.scheme, hook.settings.tag, **msgspec.structs.asdict(self.counts[name]))
            for name, hook in self._hooks.items()
        ]  # fmt: skip

    async def take(self, name: str, delivery: Delivery, address: str) -> Taken:
        """Make an event of a delivery, and return once it is synced.

        Raises:
            NotAuthenticated: the sender has not shown that he knows the secret, or there is no such hook.
            TooManyRequests: as that, and too often from there; or it is from the sender, and too many a second are.
            BodyTooBig, InvalidInput: it is from the sender, and can have no tag, or more bytes than the hook takes.
            SylviteError: it could not be published, or nobody knows; the sender tries again.
        """
        hook = self._hooks.get(name)
        try:
            if hook is None:
                raise NotShown("there is no such hook")
            shown = check(hook.settings.scheme, delivery, hook.checking, time.time())
        except NotShown as error:
            await self._refuse(name if hook is not None else UNKNOWN, error, address)
            raise NotAuthenticated("this delivery is not accepted") from error
        # Only he who knows the secret is told what else is wrong: it would say that there is such a hook.
        if len(delivery.body) > hook.settings.max_bytes:
            raise BodyTooBig(hook.settings.max_bytes)
        if wait_s := hook.rates.take(name):
            raise TooManyRequests(f"this hook takes {hook.settings.per_second:g} deliveries a second", wait_s)
        tag, data = make_event(name, hook.rule, delivery, shown)
        builder = BlockBuilder()
        builder.add(tag, pack_data(data))
        taken = await self._publish_once(name, shown.key, builder.take()[0])
        counts = self.counts[name]
        counts.accepted += taken.is_new
        counts.repeated += not taken.is_new
        return taken

    async def _publish_once(self, name: str, key: bytes, block: bytes) -> Taken:
        sender = f"hook:{name}"
        if not key:
            # Nothing tells it from others: each is one of its own.
            published = await self._bus.relay(sender, new_source_epoch(), 0, block, 1)
            return Taken(published.position, is_new=True)
        memory = self._memory
        assert memory is not None
        async with self._remembering:
            known = await asyncio.to_thread(memory.begin, name, key, time.time_ns())
        if known.offset is not None and known.epoch is not None:
            return Taken(Position(known.epoch, known.offset), is_new=False)
        published = await self._bus.relay(sender, known.source_epoch, 0, block, 1)
        async with self._remembering:
            await asyncio.to_thread(memory.end, name, key, published.offset, published.epoch)
        return Taken(published.position, is_new=True)

    async def _refuse(self, name: str, error: NotShown, address: str) -> None:
        """Count it, tell of it now and then.  Raises TooManyRequests."""
        self.counts.setdefault(name, Counts()).refused += 1
        refusals = self._refusals.setdefault(name, _Refusals())
        refusals.count += 1
        refusals.last = str(error)
        if time.monotonic() - refusals.told_s > TOLD_EVERY_S:
            await self._tell(name, refusals, address)
        if self._patience.is_over(address, FAILURES_MAX, FAILURES_S):
            raise TooManyRequests("too many deliveries from this address are not accepted; wait a minute")
        self._patience.failed(address, FAILURES_S)

    async def _tell(self, name: str, refusals: _Refusals, address: str) -> None:
        count, refusals.count, refusals.told_s = refusals.count, 0, time.monotonic()
        shown = f"hook {name}" if name else "a hook that is not there"
        logger.warning("%s: %d refused, the last from %s: %s", shown, count, address, refusals.last)
        block = BlockBuilder()
        data = {"hook": name, "count": count, "address": address, "reason": refusals.last}
        block.add("webhooks/refused", pack_data(data))
        try:
            await self._bus.relay("api:hooks", new_source_epoch(), 0, block.take()[0], 1)
        except SylviteError as error:
            # It is in our log; the refusal itself does not wait for the bus.
            logger.error("that could not be published: %s", error)


def _read(name: str, settings: WebhookIn) -> _Hook:
    setting = f"webhooks_in.{name}"
    secrets = read_secrets(Path(settings.secret_file), settings.scheme, f"{setting}.secret_file")
    checking = Checking(secrets, settings.window_s, settings.secret_header.lower(), settings.id_header.lower())
    rule = read_rule(setting, settings.scheme, settings.tag, settings.headers)
    return _Hook(settings, checking, rule, Rates(settings.per_second, 2 * (settings.per_second or 0)))


class HookItem(msgspec.Struct, frozen=True):
    """A hook, without its secret, and what has come: `Counts`."""

    name: str
    scheme: str
    tag: str
    accepted: int
    repeated: int
    refused: int


class Delivered(msgspec.Struct, frozen=True):
    """Where the event is.  `repeated`: it was there already."""

    offset: int
    id: str
    repeated: bool


async def deliver(service: Service, request: Request) -> Response:
    """POST /v1/hooks/{name}: a delivery of a sender who shows that he knows the secret."""
    name = str(request.path_params["name"])
    body = await read_body(request, BODY_BYTES_MAX)
    address = request.client.host if request.client is not None else ""
    headers: dict[str, str] = {}
    for header, value in request.headers.items():
        # What stands there twice is nothing that can be compared: who is behind a proxy may have read the other one.
        headers[header] = f"{headers[header]}, {value}" if header in headers else value
    taken = await service.hooks.take(name, Delivery(headers, body), address)
    said = Delivered(taken.position.offset, id_of(taken.position), not taken.is_new)
    return answer(said, 201 if taken.is_new else 200)


async def list_all(service: Service, request: Request) -> Response:
    """GET /v1/hooks: the hooks, without their secrets, and what has come."""
    service.access.require(request, "status:read")
    check_names(request.query_params)
    return answer(Items(service.hooks.shown()))
