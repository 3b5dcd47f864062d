from __future__ import annotations

from collections.abc import Iterator

import pytest

from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from sylvite.testing.broker import broker as started
from tests.compat.nodes import Nodes, running_nodes


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with started() as process:
        yield process


@pytest.fixture
def bus(broker: BrokerProcess) -> Iterator[Client]:
    with Client.connect(broker.socket) as client:
        yield client


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A master, and its minion, which is let in; and how programs find them."""
    with running_nodes(tmp_path_factory.mktemp("nodes")) as found:
        yield found
