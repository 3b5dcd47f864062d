"""F-05: a master of the cluster that is hostile: it publishes under another's name, forges, and says again what was said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from nats.errors import Error as NatsError

from sylvite.client.sync_client import Client
from sylvite.cluster import carried, stream
from sylvite.cluster.carried import NOWHERE, Place
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.permissions import allowed_of
from sylvite.cluster.settings import ClusterSettings
from sylvite.core.batch import Batch, Passage, encode_batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.errors import ClusterError
from tests.cluster.masters import Master
from tests.faults.cluster_traffic import ARRIVE_S, events_of
from tests.faults.report import control, report

NODES = ("mars", "venus", "rogue")
FORGED = "forged/by-rogue"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[DevCluster]:
    """Servers that let each master publish below its own subjects alone."""
    some = ClusterSettings(servers=("nats://127.0.0.1",))
    masters = {node: allowed_of(some, node) for node in NODES}
    with DevCluster(tmp_path_factory.mktemp("guarded"), masters) as servers:
        yield servers


def _batch(number: int, *, passage: Passage | None = None, sender: str = "uid:0") -> Batch:
    builder = BlockBuilder()
    builder.add(FORGED, pack_data({"number": number}))
    block, _ = builder.take()
    raw = encode_batch(
        block, base=1_000_000 + number, epoch=99, durable=0, stamp_ns=0, sender=sender, source_epoch=7,
        source_seq=number, passage=passage,
    )  # fmt: skip
    return Batch(raw)


def _forgeries(others: list[bytes]) -> list[tuple[str, bytes]]:
    """Return what a hostile master publishes: for each a subject's master, and a message."""
    good = carried.encode("rogue", NOWHERE, _batch(1))
    came = _batch(2, passage=Passage(epoch=5, until=9, stream=1, number=1), sender="uid:0@mars")
    found = [(node, carried.encode(node, NOWHERE, _batch(0))) for node in ("mars", "venus")]
    found += [("rogue", carried.encode("mars", NOWHERE, _batch(3)))]  # under its own subject, as another
    found += [("rogue", carried.encode("rogue", NOWHERE, came))]
    found += [("rogue", good[:cut]) for cut in (0, 4, 20, 25, 90, len(good) - 1)]
    found += [
        ("rogue", bytes([good[at] ^ 0xFF if at == index else good[at] for at in range(len(good))]))
        for index in (0, 40, 100, len(good) - 2)
    ]
    found += [("rogue", b"x" * 1000), ("rogue", carried.encode("rogue", Place(3, 4), _batch(4))[:21])]
    found += [(node, data) for data in others for node in ("rogue", "mars", "venus")]  # what was said before, again
    return found


async def _attack(servers: DevCluster) -> tuple[int, int]:
    """Publish all of them; return how many the servers have refused, and taken."""
    settings = ClusterSettings(servers=tuple(servers.urls), node="rogue", credentials=str(servers.credentials("rogue")))
    refused = taken = 0
    async with await Connection.open(settings, name="rogue") as connection:
        others = [(await connection.jetstream.get_msg("sylvite_log", seq)).data or b"" for seq in (1, 2, 3)]
        tries: list[dict[str, str] | None] = [
            None,
            {"Nats-Msg-Id": "mars.1.1.1", "Sylvite-Node": "mars"},
            {"Nats-Rollup": "all"},
        ]
        for number, (node, data) in enumerate(_forgeries(others)):
            subject, headers = stream.log_subject(settings, node), tries[number % len(tries)]
            if node != "rogue" and refused:
                await connection.nats.publish(subject, data, headers=headers)  # As the first one: nobody answers.
                continue
            try:
                await connection.jetstream.publish(subject, data, headers=headers, timeout=1.0)
            except (NatsError, TimeoutError):
                refused += 1
            else:
                taken += 1
    return refused, taken


def _play(servers: DevCluster, folder: Path, without: str | None = None) -> None:
    name = "n" if without is None else "w"
    keys = {"mars": servers.credentials("mars"), "venus": servers.credentials("venus")}
    with (
        Master(folder / "mars", servers, "mars", credentials=str(keys["mars"])) as mars,
        Master(folder / "venus", servers, "venus", credentials=str(keys["venus"]), without=without) as venus,
        Client.connect(mars.socket) as on_mars,
        Client.connect(venus.socket) as on_venus,
    ):
        for number in range(3):
            on_mars.publish(f"{name}/before", {"number": number}, level="replicated", timeout_s=60.0)
        refused, taken = asyncio.run(_attack(servers))
        on_mars.publish(f"{name}/after", {})
        assert on_venus.wait(f"{name}/after", since="oldest", timeout_s=ARRIVE_S)
        told = _told(venus)
        events = list(on_venus.subscribe(since="oldest", until_end=True))
    counters = {
        "accepted": sum(event.tag == FORGED for event in events),
        "doubled": sum(event.tag == f"{name}/before" for event in events) - 3,
        "not_told": not told,
        "not_refused_by_servers": refused == 0,
    }
    report("F-05", seed=0, runs=refused + taken, counters=counters, without=without)


def _told(master: Master) -> bool:
    until_s = time.monotonic() + ARRIVE_S
    while not (told := events_of(master.socket, "refused")) and time.monotonic() < until_s:
        threading.Event().wait(0.1)
    return bool(told)


def test_nothing_forged_is_accepted(guarded: DevCluster, tmp_path: Path) -> None:
    _play(guarded, tmp_path)


def test_a_bridge_that_believes_what_messages_say_is_found_out(guarded: DevCluster, tmp_path: Path) -> None:
    """Negative control."""
    with control("F-05", without="checks of what a message says", match='"row": "F-05"'):
        _play(guarded, tmp_path, without="checks of what a message says")


def test_a_master_may_not_touch_the_stream_itself(guarded: DevCluster) -> None:
    async def try_all() -> None:
        settings = ClusterSettings(
            servers=tuple(guarded.urls), node="rogue", credentials=str(guarded.credentials("rogue"))
        )  # fmt: skip
        async with await Connection.open(settings, name="rogue") as connection:
            jetstream = connection.jetstream
            for attempt in (jetstream.delete_stream("sylvite_log"), jetstream.purge_stream("sylvite_log")):
                with pytest.raises(ClusterError), connection.asking("harm"):
                    await attempt

    asyncio.run(try_all())
