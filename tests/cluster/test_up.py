"""Up: how long an answer is waited for, and that a session that ends leaves the way free for the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sylvite.client.async_client import AsyncClient
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.ending import end_all
from sylvite.cluster.outgoing import Waiting
from sylvite.cluster.stream import Stream
from sylvite.cluster.telling import Telling
from sylvite.cluster.up import CURSOR, Up
from sylvite.testing.broker import BrokerProcess
from tests.cluster.servers import settings

WITHIN_S = 60.0
EVENTS = 3000
STEPS = 40


def test_a_session_that_ends_at_any_moment_lets_go_of_the_cursor(nats: DevCluster, tmp_path: Path) -> None:
    """Else no later one gets it, and nothing of this log arrives any more."""

    async def main(socket: Path) -> None:
        async with (
            asyncio.timeout(WITHIN_S),
            AsyncClient.connect(socket) as bus,
            await Connection.open(settings(nats)) as connection,
        ):
            stream = Stream(connection, "mars")
            await stream.open()
            await bus.publish_many(("t/load", {"number": number}) for number in range(EVENTS))
            batches = await bus.read_batches(CURSOR, since=EVENTS)
            batches.close()
            for steps in range(STEPS):
                session = asyncio.create_task(Up(bus, stream, Telling(bus)).run())
                for _ in range(steps):
                    await bus.ask("log")  # A little later each time.
                await end_all([session])
                (await bus.read_batches(CURSOR, since=EVENTS)).close()

    with BrokerProcess(tmp_path / "bus") as bus:
        asyncio.run(main(bus.socket))


def test_a_task_that_does_not_hear_that_it_is_cancelled_is_told_again() -> None:
    """As asyncio.wait_for does, where what it waits for comes at the same moment."""

    async def deaf(times: int) -> None:
        for _ in range(times):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        tasks = [asyncio.create_task(deaf(times)) for times in range(3)]
        async with asyncio.timeout(WITHIN_S):
            await asyncio.sleep(0)
            await end_all(tasks, again_s=0.1)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(main())


def test_a_message_whose_answer_was_lost_is_late_though_others_are_answered() -> None:
    """Only the oldest one counts: those behind it may be confirmed for ever, and nothing would move."""
    waiting = Waiting(5.0, 20.0)
    assert waiting.left_s(0.0) is None
    for second in range(5):
        waiting.sent(float(second))
        assert not waiting.is_late(float(second))
    assert waiting.left_s(4.0) == 1.0
    assert waiting.is_late(5.0)


def test_patience_grows_with_each_time_that_all_is_sent_again_and_ends_with_an_answer() -> None:
    waiting = Waiting(5.0, 20.0)
    waiting.sent(0.0)
    for now_s, left_s in ((5.0, 10.0), (15.0, 20.0), (35.0, 20.0)):
        assert waiting.is_late(now_s)
        waiting.again(now_s)
        assert waiting.left_s(now_s) == left_s
    waiting.moved(40.0, is_empty=False)
    assert waiting.left_s(41.0) == 4.0
    waiting.moved(42.0, is_empty=True)
    assert not waiting.is_late(100.0)
    waiting.again(100.0)
    assert waiting.left_s(100.0) is None
