"""Webhooks of two masters of a cluster: each event of both is posted once, and by the other master where one ends."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

from sylvite.client.sync_client import Client
from sylvite.cluster.dev import DevCluster
from tests.cluster.masters import Master
from tests.daemons.nodes import Daemon, until
from tests.export.receiver import Got, Receiver, Reply


def secret_in(folder: Path) -> Path:
    file = folder / "secret"
    file.write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}\n")
    file.chmod(0o600)
    return file


def posting(master: Master, receiver: Receiver, secret: Path) -> Daemon:
    """Return `sylvite webhooks run`, for a webhook that both masters have."""
    settings = {"url": receiver.url, "secret_file": str(secret), "tags": "t/", "allow_http": True}
    settings |= {"allow_networks": "127.0.0.0/8", "timeout": "60s"}
    config = master.bus.folder / "with-webhooks.yaml"
    config.write_text(json.dumps(json.loads(master.file.read_text()) | {"webhooks_out": {"site": settings}}))
    config.chmod(0o600)
    place = ("--socket", str(master.socket), "--dir", str(master.bus.folder))
    return Daemon(master.bus.folder, "webhooks", "run", *place, "--master", str(config))


def publish(master: Master, *numbers: int) -> None:
    with Client.connect(master.socket) as client:
        for number in numbers:
            client.publish(f"t/{master.node}", {"n": number})


def posted(receiver: Receiver) -> Counter[tuple[str, int]]:
    return Counter((got.event["node"], got.event["data"]["n"]) for got in receiver.got)


def test_each_event_is_posted_once_by_the_masters_together(nats: DevCluster, tmp_path: Path) -> None:
    """Also what the log of a master had before it was in a cluster, behind where that had been posted."""
    secret = secret_in(tmp_path)
    with (
        Receiver() as receiver,
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus") as venus,
    ):
        publish(mars, 0, 1)
        with Client.connect(mars.socket) as client:
            client.subscribe(cursor="webhooks/site", since="oldest", ack="manual").ack(
                next(iter(client.subscribe("t/", since="oldest", until_end=True)))
            )
            until(lambda: client.ask("cursors")["cursors"][0]["offset"] > 0)
        with posting(mars, receiver, secret) as of_mars:
            until(lambda: posted(receiver)[("mars", 1)] == 1)
            with posting(venus, receiver, secret) as of_venus:
                publish(venus, 0, 1)
                publish(mars, 2)
                until(lambda: len(posted(receiver)) == 4)
                assert of_mars.stop() == 0
                publish(mars, 3, 4)
                publish(venus, 2)
                until(lambda: len(posted(receiver)) == 7)
                assert of_venus.stop() == 0
        assert posted(receiver) == Counter(
            [("mars", number) for number in range(1, 5)] + [("venus", number) for number in range(3)]
        )
        order = [got.event["data"]["n"] for got in receiver.got if got.event["node"] == "mars"]
        assert order == sorted(order)


def test_one_that_is_not_taken_is_tried_by_the_next_master(nats: DevCluster, tmp_path: Path) -> None:
    """Under the same id, and with the same body."""
    secret = secret_in(tmp_path)
    with (
        Receiver(lambda _: Reply(503)) as receiver,
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus") as venus,
    ):
        with posting(mars, receiver, secret) as of_mars:
            until(lambda: "events go to" in of_mars.log.read_text())
            publish(mars, 0)
            until(lambda: len(receiver.got) > 0)
            assert of_mars.stop() == 0
        tried = receiver.got[0]

        def answer(got: Got) -> Reply:
            return Reply(204)

        receiver.answer = answer
        before = len(receiver.got)
        with posting(venus, receiver, secret):
            publish(venus, 0)
            until(lambda: len(receiver.got) == before + 2)
        again = next(got for got in receiver.got[before:] if got.event["node"] == "mars")
        assert (again.headers["webhook-id"], again.body) == (tried.headers["webhook-id"], tried.body)
