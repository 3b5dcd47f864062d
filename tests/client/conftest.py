"""Fixtures for the clients: both kinds, and a broker that may be ended at any time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sylvite.testing.broker import BrokerProcess
from tests.contracts.conftest import connect, tag

__all__ = ["broker", "connect", "one_broker", "tag"]


@pytest.fixture(scope="module")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bus")) as process:
        yield process


@pytest.fixture
def broker(one_broker: BrokerProcess) -> BrokerProcess:
    """A broker that runs, whatever the test before has done to it; its log may hold the events of other tests."""
    assert one_broker.process is not None
    if one_broker.process.poll() is None:
        one_broker.resume()
    else:
        one_broker.start()
    return one_broker
