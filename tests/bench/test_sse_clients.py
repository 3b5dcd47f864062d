"""The clients of the measurement of streams: each event is counted once, however its bytes come."""

from __future__ import annotations

import asyncio

import pytest

from bench.sse_clients import Client

MARK = b"tag: bench/sse\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 400\n" + 3 * (MARK + b"data: {}\n\n")


@pytest.mark.parametrize("size", [1, 2, 7, 14, 15, 40, len(STREAM)])
def test_events_are_counted_once_however_they_are_cut(size: int) -> None:
    async def run() -> tuple[int, int]:
        client = Client(b"", MARK)
        for start in range(0, len(STREAM), size):
            client.data_received(STREAM[start : start + size])
        assert client.answered.is_set()
        return client.status, client.events

    assert asyncio.run(run()) == (200, 3)
