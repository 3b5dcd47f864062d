"""JetStream without Sylvite: nats-py on the same servers, with a stream that is kept as ours is (bench/cluster.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import uvloop
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DeliverPolicy, StorageType, StreamConfig

from bench.events import job_return
from bench.processes import Line
from sylvite.cluster.connection import Connection
from sylvite.cluster.settings import ClusterSettings

STREAM, SUBJECT = "bench", "bench.n"
WITHIN_S = 120.0
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(dict[str, object]).decode


async def _on(settings: ClusterSettings, work: Callable[[JetStreamContext], Awaitable[None]]) -> None:
    async with await Connection.open(settings, name="bench") as connection:
        await work(connection.jetstream)


def make_stream(settings: ClusterSettings) -> None:
    """A stream in files, on as many servers as ours."""

    async def make(jetstream: JetStreamContext) -> None:
        config = StreamConfig(name=STREAM, subjects=[SUBJECT], storage=StorageType.FILE, num_replicas=settings.replicas)
        await jetstream.add_stream(config)  # pyright: ignore[reportUnknownMemberType] - its further arguments have no types

    uvloop.run(_on(settings, make))


def receive(line: Line, settings: ClusterSettings, count: int) -> tuple[float, list[float]]:
    """Take so many events, decoded; return when the last one came, and how long each took from its stamp, where it has one."""
    last, times = 0.0, list[float]()

    async def take(jetstream: JetStreamContext) -> None:
        nonlocal last
        done, left = asyncio.Event(), count

        async def handle(message: Msg) -> None:
            nonlocal last, left
            data, last = _decode(message.data), time.monotonic()
            if isinstance(at := data.get("at"), float):
                times.append(last - at)
            left -= 1
            if not left:
                done.set()

        await jetstream.subscribe(
            SUBJECT, stream=STREAM, cb=handle, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW,
            pending_msgs_limit=-1, pending_bytes_limit=-1,
        )  # fmt: skip
        line()
        async with asyncio.timeout(WITHIN_S):
            await done.wait()

    uvloop.run(_on(settings, take))
    return last, times


def publish(line: Line, settings: ClusterSettings, count: int) -> tuple[float, float]:
    """Publish as fast as it is acknowledged, many on their way; return when it began, and how long until all acknowledgements."""
    found = (0.0, 0.0)

    async def send(jetstream: JetStreamContext) -> None:
        nonlocal found
        line()
        begun = time.monotonic()
        for number in range(count):
            await jetstream.publish_async(SUBJECT, _encode(job_return(number)))  # pyright: ignore[reportUnknownMemberType] - as above
        await jetstream.publish_async_completed()
        found = begun, time.monotonic() - begun

    uvloop.run(_on(settings, send))
    return found


def publish_singly(line: Line, settings: ClusterSettings, rate: float, count: int) -> list[float]:
    """Publish one after the other, `rate` a second at most; return how long each acknowledgement took."""
    times: list[float] = []

    async def send(jetstream: JetStreamContext) -> None:
        line()
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(start + number / rate - time.monotonic(), 0.0))
            begun = time.monotonic()
            await jetstream.publish(SUBJECT, _encode({**job_return(number), "at": begun}))
            times.append(time.monotonic() - begun)

    uvloop.run(_on(settings, send))
    return times
