"""Keys shared over real NATS servers: two keyrings, each with what shares it; and what happens while the servers are away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_values import NotAccepted, State
from sylvite.auth.keys import PublicKey, make_pair
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.keys import Keys
from sylvite.cluster.shared import Shared, bucket_name
from sylvite.cluster.sharing import share_all
from tests.cluster.servers import settings

WITHIN_S = 60.0
A, B, C = (make_pair().public for _ in range(3))


class Master:
    """`keyring`: as the link or a command have it open, beside what shares it."""

    def __init__(self, folder: Path, node: str) -> None:
        self.node, self.folder = node, folder
        self.keyring = Keyring.open(folder, make=True)
        self.keys = Keys(folder)
        self.announced = 0

    @asynccontextmanager
    async def sharing(self, servers: DevCluster) -> AsyncGenerator[Connection]:
        async with await Connection.open(settings(servers, node=self.node)) as connection:
            task = asyncio.create_task(share_all(connection, self.node, {"keys": self.keys.share}))
            try:
                yield connection
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self.keyring.close()

    def accept(self, id_: str, public: PublicKey) -> None:
        self.keyring.ask(id_, public, "10.0.0.1", time.time_ns())
        self.keyring.accept(id_, public.fingerprint, time.time_ns())
        self.announce()

    def announce(self) -> None:
        self.announced += announce(self.keyring, lambda _: None)

    def lets_in(self, public: PublicKey) -> bool:
        try:
            self.keyring.identify(public.fingerprint, time.time_ns())
        except NotAccepted:
            return False
        return True

    def state(self, id_: str, public: PublicKey) -> State | None:
        return next((key.state for key in self.keyring.all_keys(id_) if key.public == public), None)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.05)


@pytest.fixture
def masters(tmp_path: Path) -> tuple[Master, Master]:
    return Master(tmp_path / "mars", "mars"), Master(tmp_path / "venus", "venus")


def test_what_is_decided_at_one_master_is_so_at_the_other(nats: DevCluster, masters: tuple[Master, Master]) -> None:
    mars, venus = masters

    async def main() -> None:
        mars.accept("web0", C)  # Before they have met.
        async with mars.sharing(nats), venus.sharing(nats):
            mars.keyring.ask("web1", A, "10.0.0.1", time.time_ns())
            mars.announce()
            await until(lambda: venus.state("web1", A) is State.PENDING and venus.lets_in(C))
            venus.keyring.accept("web1", A.fingerprint, time.time_ns())
            venus.announce()
            await until(lambda: mars.lets_in(A))
            mars.keyring.revoke("web1", A.fingerprint, time.time_ns())
            mars.announce()
            await until(lambda: not venus.lets_in(A))
            assert venus.keyring.due_count() == 0

    asyncio.run(main())


def test_what_both_decided_while_the_servers_were_away_comes_together(
    nats: DevCluster, masters: tuple[Master, Master]
) -> None:
    mars, venus = masters

    async def main() -> None:
        async with mars.sharing(nats), venus.sharing(nats):
            mars.accept("web1", A)
            mars.accept("web2", B)
            await until(lambda: venus.lets_in(A) and venus.lets_in(B))
            for server in nats.servers:
                nats.kill(server.name)
            mars.keyring.revoke("web1", A.fingerprint, time.time_ns())
            mars.announce()
            venus.accept("web3", C)
            venus.keyring.delete("web2", B.fingerprint, time.time_ns())
            venus.announce()
            assert venus.lets_in(A)
            nats.restart_all()
            await until(lambda: not venus.lets_in(A) and not mars.lets_in(B) and mars.lets_in(C))
            assert not venus.lets_in(B)

    asyncio.run(main())


def test_a_bucket_that_was_deleted_is_filled_again(
    nats: DevCluster, masters: tuple[Master, Master], tmp_path: Path
) -> None:
    """So that a master that comes later has all of it."""
    mars, venus = masters
    earth = Master(tmp_path / "earth", "earth")

    async def main() -> None:
        async with mars.sharing(nats) as connection, venus.sharing(nats):
            mars.accept("web1", A)
            mars.keyring.ask("web2", B, "10.0.0.1", time.time_ns())
            await until(lambda: venus.lets_in(A) and venus.state("web2", B) is State.PENDING)
            await connection.jetstream.delete_stream(f"KV_{bucket_name(connection.settings)}")
            async with earth.sharing(nats):
                await until(lambda: earth.lets_in(A) and earth.state("web2", B) is State.PENDING)
            assert venus.state("web2", B) is State.PENDING

    asyncio.run(main())


def test_what_a_master_takes_away_when_it_leaves_is_said_by_the_others(
    nats: DevCluster, masters: tuple[Master, Master], tmp_path: Path
) -> None:
    mars, venus = masters
    earth = Master(tmp_path / "earth", "earth")

    async def main() -> None:
        async with mars.sharing(nats) as connection, venus.sharing(nats):
            mars.accept("web1", A)
            await until(lambda: venus.lets_in(A))
            shared = Shared(connection, "venus")
            await Shared(connection, "mars").delete("keys", "web1")
            async with aclosing(shared.watch("keys")) as watch:
                async with asyncio.timeout(WITHIN_S):
                    async for entry in watch:
                        if entry is not None and entry.node == "venus" and entry.value is not None:
                            break
            async with earth.sharing(nats):
                await until(lambda: earth.lets_in(A))

    asyncio.run(main())


def test_what_cannot_be_read_is_passed_over(nats: DevCluster, masters: tuple[Master, Master]) -> None:
    mars, venus = masters

    async def main() -> None:
        async with mars.sharing(nats) as connection, venus.sharing(nats):
            mars.accept("web1", A)
            await until(lambda: venus.lets_in(A))
            for part in ("keys", "asks"):
                await connection.jetstream.publish(f"$KV.{bucket_name(connection.settings)}.earth.{part}.web1", b"\xc1")
            mars.accept("web2", B)
            await until(lambda: venus.lets_in(B))
            assert venus.lets_in(A)

    asyncio.run(main())
