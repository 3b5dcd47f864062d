"""Tasks that do not hear that they are to end, as where nats-py swallows it."""

from __future__ import annotations

import asyncio

import pytest

from sylvite.cluster.ending import first_to_end
from sylvite.errors import ClusterError


def test_one_that_does_not_hear_it_at_first_holds_nobody_up() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed += 1
        await asyncio.Event().wait()

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise ClusterError("the servers fail")

    async def main() -> None:
        async with asyncio.timeout(30):
            await first_to_end(deaf(), fail(), name="both")

    with pytest.raises(ClusterError, match="the servers fail"):
        asyncio.run(main())
    assert swallowed == 1
