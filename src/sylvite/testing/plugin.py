"""pytest fixtures: `pip install sylvite`, and `sylvite_broker` is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sylvite.client.sync_client import Client
    from sylvite.testing.broker import BrokerProcess


@pytest.fixture
def sylvite_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A running broker of its own for this test."""
    from sylvite.testing.broker import BrokerProcess

    # The path of a UNIX socket has at most 107 bytes: not below the long folder of the test.
    folder: Path = tmp_path_factory.mktemp("bus")
    with BrokerProcess(folder) as process:
        yield process


@pytest.fixture
def sylvite_client(sylvite_broker: BrokerProcess) -> Iterator[Client]:
    """A client that is connected to `sylvite_broker`."""
    from sylvite.client.sync_client import Client

    with Client.connect(sylvite_broker.socket) as client:
        yield client
