"""Who is cancelled while he waits for the broker leaves nothing behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sylvite.client.async_client import AsyncClient
from sylvite.testing.broker import BrokerProcess

WITHIN_S = 60.0


def test_a_cursor_is_let_go_of_where_its_answer_comes_as_one_is_cancelled(tmp_path: Path) -> None:
    """The broker has said yes, and whoever asked is cancelled before he hears it."""

    async def main(socket: Path) -> None:
        async with asyncio.timeout(WITHIN_S), AsyncClient.connect(socket) as client:
            feeds = client._core._feeds  # type: ignore[reportPrivateUsage] - not to be seen from outside
            asking = asyncio.create_task(client.read_batches("here"))
            while not any(feed.stands for feed in feeds.values()):
                await asyncio.sleep(0)
            asking.cancel()
            (ended,) = await asyncio.gather(asking, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError)
            (await client.read_batches("here")).close()

    with BrokerProcess(tmp_path / "bus") as bus:
        asyncio.run(main(bus.socket))
