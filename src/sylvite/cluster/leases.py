"""Leases: what one master of a cluster does, and no other at the same time.  Decisions: tenure.py.

sylvite_leases      the bucket, in JetStream's key-value store; `sylvite` is the cluster's name
NAME                who holds the lease NAME, for how long

leases = await Leases(connection).open()
async with leases.hold("presence") as lease:
    await lease.held()                      # waits for it
    do(something, fence=lease.fence())      # before each deed; raises LeaseLost
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple, Self, cast

import msgspec
from nats.js import JetStreamContext, api
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from sylvite.cluster.buckets import may_read_and_write
from sylvite.cluster.connection import REQUEST_S, Connection
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.tenure import LIFE_S, Entry, Fence, Seen, Tenure, Write
from sylvite.errors import ClusterError, ClusterUnfit, LeaseLost

BYTES_MAX = 16 * 1024 * 1024
VALUE_BYTES_MAX = 4 * 1024
ANSWER = 0.2
"""Which part of a life an answer of the servers may take: so that there is time to ask another one."""
AGAIN = 0.1
"""Which part of a life goes by before it is tried again, where the servers do not answer."""

logger = logging.getLogger("sylvite.cluster.leases")


class Held(NamedTuple):
    """A lease, and who has it.  `node` is empty where nobody has."""

    name: str
    node: str
    life_s: float
    fence: Fence


def bucket_name(settings: ClusterSettings) -> str:
    return f"{settings.name}_leases"


def may_publish(settings: ClusterSettings) -> tuple[str, ...]:
    """Return the subjects that the user of a master needs to publish to, for its leases."""
    return may_read_and_write(bucket_name(settings))


def now_s() -> float:
    """Return the time of a clock that nobody sets, and that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leases:
    """The bucket of leases, over a connection that somebody else closes."""

    def __init__(self, connection: Connection, *, life_s: float = LIFE_S) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._life_s = life_s
        self._jetstream = JetStreamContext(connection.nats, timeout=min(REQUEST_S, life_s * ANSWER))
        self._bucket: KeyValue | None = None
        self._epoch = 0

    async def open(self) -> Self:
        """Make the bucket if it is not there.

        Raises:
            ClusterUnfit: what is there under this name is none of ours.
            ClusterError: the servers do not answer, or refuse.
        """
        name = bucket_name(self._settings)
        with self._connection.asking(f"looking at the leases in {name}"):
            try:
                info = await self._connection.ask(lambda jetstream: jetstream.stream_info(f"KV_{name}"))
            except NotFoundError:
                await self._connection.ask(partial(self._make, name))
                info = await self._connection.ask(lambda jetstream: jetstream.stream_info(f"KV_{name}"))
        self._check(info)
        with self._connection.asking(f"looking at the leases in {name}"):
            self._bucket = await self._connection.ask(lambda _: self._jetstream.key_value(name))
        assert info.created is not None
        self._epoch = int(info.created.timestamp() * 1e6)
        return self

    async def _make(self, name: str, jetstream: JetStreamContext) -> None:
        config = api.KeyValueConfig(
            name,
            description="Which master of a Sylvite cluster does what",
            replicas=self._settings.replicas,
            storage=api.StorageType.FILE,
            max_bytes=BYTES_MAX,
            max_value_size=VALUE_BYTES_MAX,
            direct=False,  # What is read comes from who leads, not from one that is behind.
        )
        await jetstream.create_key_value(config)  # type: ignore[reportUnknownMemberType] - nats-py's types are partial

    def _check(self, info: api.StreamInfo) -> None:
        config = info.config
        wrong: list[str] = []
        if config.subjects != [f"$KV.{bucket_name(self._settings)}.>"]:
            wrong.append(f"its subjects are {config.subjects}")
        if (config.num_replicas or 1) < self._settings.replicas:
            wrong.append(f"it has {config.num_replicas} replicas, not {self._settings.replicas}")
        if config.storage != api.StorageType.FILE or config.allow_direct:
            wrong.append("it is in memory, or read from who is behind")
        if wrong:
            cure = "let it be as Sylvite makes it, or give the cluster another name"
            raise ClusterUnfit(f"the bucket {bucket_name(self._settings)}", "; ".join(wrong), cure)

    @asynccontextmanager
    async def hold(
        self, name: str, *, on_change: Callable[[Fence | None], None] | None = None
    ) -> AsyncGenerator[Lease]:
        """Try to hold a lease while this lasts, and give it up at the end.

        `on_change`: is called with the fence when we have got it, and with None when we have lost it, as far as we can know.
        """
        tenure = Tenure(self._settings.node, secrets.token_hex(8), life_s=self._life_s)
        lease = Lease(name, tenure, on_change)
        task = asyncio.create_task(self._keep(lease), name=f"cluster: lease {name}")
        try:
            yield lease
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._give_up(lease)
            lease.look()

    async def held(self) -> list[Held]:
        """Return all leases that somebody has.  Raises ClusterError."""
        bucket = await self._opened()
        with self._connection.asking("reading leases"):
            info = await self._jetstream.stream_info(
                f"KV_{bucket_name(self._settings)}", subjects_filter=f"$KV.{bucket_name(self._settings)}.>"
            )
            found: list[Held] = []
            for subject in sorted(info.state.subjects or {}):
                name = subject.split(".", 2)[2]
                seen = await self._read(bucket, name)
                if seen.entry is not None:
                    fence = Fence(self._epoch, seen.entry.since or seen.revision)
                    found.append(Held(name, seen.entry.node, seen.entry.life_s, fence))
        return found

    async def drop(self, node: str) -> list[str]:
        """Let others have at once what a master holds that has gone; return which leases.  Raises ClusterError."""
        bucket = await self._opened()
        dropped: list[str] = []
        for each in await self.held():
            if each.node == node:
                with self._connection.asking(f"dropping the lease {each.name}"):
                    await bucket.delete(each.name)
                dropped.append(each.name)
        return dropped

    async def _keep(self, lease: Lease) -> None:
        told = ""
        while True:
            now = now_s()
            step = lease.tenure.next(now)
            try:
                if isinstance(step, Write):
                    await self._write(lease, step)
                elif step > now:
                    await asyncio.sleep(step - now)
                else:
                    bucket = await self._opened()
                    with self._connection.asking(f"reading the lease {lease.name}"):
                        seen = await self._read(bucket, lease.name)
                    lease.tenure.saw(seen, self._epoch, now_s())
                told = ""
            except ClusterError as error:
                if str(error) != told:
                    logger.warning("lease %s: %s", lease.name, error)
                told = str(error)
                self._bucket = None  # It may be another one when the servers are back.
                await asyncio.sleep(self._life_s * AGAIN)
            lease.look()

    async def _write(self, lease: Lease, step: Write) -> None:
        """Raises ClusterError: whether it is there is unknown, and is found out by reading; our time goes on meanwhile."""
        bucket = await self._opened()
        with self._connection.asking(f"taking the lease {lease.name}"):
            try:
                revision = await bucket.update(lease.name, msgspec.json.encode(step.entry), last=step.last)
            except KeyWrongLastSequenceError:
                lease.tenure.refused()
            else:
                lease.tenure.wrote(revision)

    async def _give_up(self, lease: Lease) -> None:
        revision = lease.tenure.revision
        if revision is None:
            return
        lease.tenure.gave_up()
        try:
            bucket = await self._opened()
            with self._connection.asking(f"giving up the lease {lease.name}"), suppress(KeyWrongLastSequenceError):
                await bucket.delete(lease.name, last=revision)
        except ClusterError as error:
            logger.warning("lease %s: it runs out by itself: %s", lease.name, error)

    async def _opened(self) -> KeyValue:
        if self._bucket is None:
            await self.open()
        assert self._bucket is not None
        return self._bucket

    async def _read(self, bucket: KeyValue, name: str) -> Seen:
        try:
            entry = await bucket.get(name)
        except KeyNotFoundError as error:
            # Given up: the next one has to follow the revision of that.
            gone = cast("KeyValue.Entry | None", error.entry)  # type: ignore[reportUnknownMemberType] - nats-py's types are partial
            return Seen(None, 0 if gone is None else gone.revision or 0)
        try:
            return Seen(msgspec.json.decode(entry.value or b"", type=Entry), entry.revision or 0)
        except msgspec.DecodeError as error:
            cure = f"delete the key {name} of the bucket {bucket_name(self._settings)}"
            raise ClusterUnfit(f"the lease {name}", f"holds what is none of ours: {error}", cure) from error


class Lease:
    """One lease that we want.  Made by `Leases.hold`."""

    def __init__(self, name: str, tenure: Tenure, on_change: Callable[[Fence | None], None] | None) -> None:
        self.name, self.tenure = name, tenure
        self._on_change = on_change
        self._last: Fence | None = None
        self._running_out: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    def fence(self) -> Fence:
        """Return the fencing token to do something with, now.

        Raises:
            LeaseLost: it is not ours, or may not be any more.
        """
        found = self.tenure.fence(now_s())
        if found is None:
            holder = self.tenure.holder
            raise LeaseLost(self.name, f"as far as we know it is that of {holder}" if holder else "nobody has it yet")
        return found

    async def held(self) -> Fence:
        """Wait until it is ours; return the fencing token."""
        while (found := self.tenure.fence(now_s())) is None:
            self._changed.clear()
            await self._changed.wait()
        return found

    async def lost(self) -> None:
        """Wait until it is not ours."""
        while self.tenure.fence(now_s()) is not None:
            self._changed.clear()
            await self._changed.wait()

    def look(self) -> None:
        """Tell who wants to know if it has become ours, or is not any more; look again when it runs out."""
        now = now_s()
        found = self.tenure.fence(now)
        if self._running_out is not None:
            self._running_out.cancel()
        if found is not None:
            loop = asyncio.get_running_loop()
            self._running_out = loop.call_later(self.tenure.until_s - now, self.look)
        if found != self._last:
            self._last = found
            self._changed.set()
            if self._on_change is not None:
                self._on_change(found)
