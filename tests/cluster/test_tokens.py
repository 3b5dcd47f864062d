"""Tokens shared over real NATS servers: also what was done while they were away, and when the bucket is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from sylvite.api.scopes import Scope
from sylvite.api.tokens import Token, TokenStore
from sylvite.api.tokens_shared import Tokens
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.shared import bucket_name
from sylvite.cluster.sharing import share_all
from sylvite.errors import NotAuthenticated, SylviteError
from tests.cluster.servers import settings

WITHIN_S = 60.0


def make(store: TokenStore, now_ns: int) -> tuple[Token, str]:
    token, secret = store.make("ada", (Scope("events:read", "**"),), now_ns)
    return token, secret.reveal()


def counts(store: TokenStore, text: str, now_ns: int) -> bool:
    try:
        store.check(text, now_ns)
    except NotAuthenticated:
        return False
    return True


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.05)


def test_tokens_are_shared_over_the_servers(nats: DevCluster, tmp_path: Path) -> None:
    """Also what was done while they were away, and when the bucket is lost."""
    for node in ("mars", "venus"):
        (tmp_path / node).mkdir()
    mars, venus = TokenStore(tmp_path / "mars"), TokenStore(tmp_path / "venus")

    async def main() -> None:
        async with (
            await Connection.open(settings(nats, node="mars")) as to_mars,
            await Connection.open(settings(nats, node="venus")) as to_venus,
        ):
            tasks = [
                asyncio.create_task(share_all(connection, node, {"tokens": Tokens(tmp_path / node).share}))
                for connection, node in ((to_mars, "mars"), (to_venus, "venus"))
            ]
            now_ns = time.time_ns()
            token, text = make(mars, now_ns)
            await until(lambda: counts(venus, text, now_ns))
            for server in nats.servers:
                nats.kill(server.name)
            venus.revoke(token.id)
            other, second = make(mars, now_ns)
            nats.restart_all()
            await until(lambda: not counts(mars, text, now_ns) and counts(venus, second, now_ns))
            async with asyncio.timeout(WITHIN_S):
                while True:
                    try:
                        await to_mars.jetstream.delete_stream(f"KV_{bucket_name(to_mars.settings)}")
                        break
                    except (SylviteError, OSError, TimeoutError):
                        await asyncio.sleep(0.1)
            mars.revoke(other.id)
            await until(lambda: not counts(venus, second, now_ns))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with mars, venus:
        asyncio.run(main())
