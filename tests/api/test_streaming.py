"""What a stream waits with: a block that is left when something is done."""

from __future__ import annotations

import asyncio

import pytest

from sylvite.api.streaming import until_done


def test_the_block_is_left_when_something_is_done() -> None:
    async def run() -> str:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with until_done(done, asyncio.get_running_loop().create_future()):
            done.set_result(None)
            await asyncio.Event().wait()
        await asyncio.sleep(0)  # Nothing of it comes later.
        return "behind it"

    assert asyncio.run(run()) == "behind it"


def test_it_is_left_where_something_was_done_before_and_with_several_at_once() -> None:
    async def run() -> None:
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        second: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        first.set_result(None)
        second.set_result(None)
        with until_done(first, second):
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    asyncio.run(run())


def test_what_is_done_behind_the_block_disturbs_nobody() -> None:
    async def run() -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with until_done(done):
            done.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())


def test_an_end_from_elsewhere_is_passed_on() -> None:
    async def block(done: asyncio.Future[None]) -> None:
        with until_done(done):
            await asyncio.Event().wait()

    async def run(*, is_done: bool) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(block(done))
        await asyncio.sleep(0)
        if is_done:
            done.set_result(None)
        task.cancel()
        await task

    for is_done in (False, True):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run(is_done=is_done))
