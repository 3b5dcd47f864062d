"""Fixtures for the contract suites."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.contracts.clients import Connections

_numbers = count()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connections]:
    """Makes clients: the suite runs once for each kind."""
    connections = Connections(request.param)
    yield connections
    connections.close()


@pytest.fixture
def tag() -> str:
    """The beginning of the tags of one test, on a broker that it shares with others."""
    return f"t/{next(_numbers)}"
