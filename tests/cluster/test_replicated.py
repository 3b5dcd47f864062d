"""Level replicated: the answer comes when the cluster has it too; where it does not come in time, that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.broker.replication import WITHIN_S
from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.client.ticket import Published
from sylvite.cluster.dev import DevCluster
from sylvite.core.level import Level
from sylvite.errors import InvalidSetting, ReplicationUnknown
from sylvite.testing.broker import BrokerProcess
from sylvite.wire.messages import Ack, Refuse, Replicated
from tests.broker.bus import GUEST, Bus
from tests.cluster.masters import Master


def bus() -> Bus:
    return Bus(BrokerSettings(has_cluster=True))


def retried(client: Client, error: ReplicationUnknown) -> Published:
    """Say it again until the servers are there again."""
    for _ in range(10):
        try:
            return client.retry(error, timeout_s=60.0)
        except ReplicationUnknown:
            continue
    raise AssertionError("the cluster never confirms it")


def test_the_answer_waits_for_the_cluster() -> None:
    one = bus()
    person, bridge = one.person(), one.person()
    person.publish("a", level=3)
    assert not person.read()
    bridge.say(Replicated(one.broker.log.epoch, 1))
    assert person.only(Ack).level == Level.REPLICATED


def test_what_is_said_of_another_life_of_the_log_counts_for_nothing() -> None:
    one = bus()
    person, bridge = one.person(), one.person()
    person.publish("a", level=3)
    bridge.say(Replicated(one.broker.log.epoch + 1, 1))
    assert not person.read()


def test_who_has_waited_for_too_long_hears_that_it_is_synced_here() -> None:
    one = bus()
    person, bridge = one.person(), one.person()
    person.publish("a", level=3)
    person.read()
    one.pass_s(WITHIN_S + 0.1)
    refuse = person.only(Refuse)
    assert (refuse.code, refuse.ref) == ("replication_unknown", 0)
    assert "synced here, from @0 on" in refuse.message
    bridge.say(Replicated(one.broker.log.epoch, 1))
    person.publish("a", level=3, seq=0)
    again = person.only(Ack)
    assert (again.base, again.level) == (0, Level.REPLICATED)


def test_one_that_says_it_again_waits_again() -> None:
    one = bus()
    person, bridge = one.person(), one.person()
    person.publish("a", level=3)
    person.publish("a", level=3, seq=0)
    assert not person.read()
    bridge.say(Replicated(one.broker.log.epoch, 1))
    assert [message.seq for message in person.read() if isinstance(message, Ack)] == [0, 0]


def test_nobody_but_the_owner_says_what_is_replicated() -> None:
    one = bus()
    guest = one.person()
    guest.connection.peer = GUEST
    guest.say(Replicated(one.broker.log.epoch, 1))
    assert guest.only(Refuse).code == "remote_protocol_error"


def test_a_broker_without_a_cluster_refuses(tmp_path: Path) -> None:
    with (
        BrokerProcess(tmp_path) as alone,
        Client.connect(alone.socket) as client,
        pytest.raises(InvalidSetting, match="needs a cluster"),
    ):
        client.publish("a", {}, level="replicated")


def test_it_is_replicated_or_said_that_nobody_knows(nats: DevCluster, tmp_path: Path) -> None:
    with Master(tmp_path / "mars", nats, "mars") as mars, Client.connect(mars.socket) as client:
        assert client.publish("a", {}, level="replicated", timeout_s=60.0).level == Level.REPLICATED
        for server in nats.servers:
            nats.kill(server.name)
        with pytest.raises(ReplicationUnknown) as raised:
            client.publish("b", {}, level="replicated", timeout_s=60.0)
        assert client.publish("c", {}).level == Level.SYNCED
        nats.restart_all()
        published = retried(client, raised.value)
        assert published.level == Level.REPLICATED
        assert client.get(published.offset).tag == "b"
