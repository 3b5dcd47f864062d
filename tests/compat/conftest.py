from __future__ import annotations

from collections.abc import Iterator

import pytest

from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from sylvite.testing.broker import broker as started


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with started() as process:
        yield process


@pytest.fixture
def bus(broker: BrokerProcess) -> Iterator[Client]:
    with Client.connect(broker.socket) as client:
        yield client
