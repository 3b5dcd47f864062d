"""The pytest fixtures that come with the package."""

from __future__ import annotations

from sylvite import Client
from sylvite.testing.broker import BrokerProcess


def test_the_client_is_connected_to_the_broker(sylvite_broker: BrokerProcess, sylvite_client: Client) -> None:
    """Both fixtures of one test mean the same broker."""
    offset = sylvite_client.publish("t/x", {"n": 1}).offset
    with Client.connect(sylvite_broker.socket) as other:
        assert other.get(offset).data == {"n": 1}


def test_each_test_has_a_broker_of_its_own(sylvite_client: Client) -> None:
    """Nothing of another test is in its log."""
    assert list(sylvite_client.subscribe("t/", since="oldest", until_end=True)) == []
