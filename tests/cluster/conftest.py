"""Fixtures: NATS servers.  Also those of tests/faults, which takes them from here."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from sylvite.cluster.dev import DevCluster
from tests.cluster.servers import make_whole, running


@pytest.fixture(scope="module")
def nats_servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[DevCluster]:
    """Three servers for all tests of a file, which start in a second and cost as long as they run; a test takes `nats`."""
    with running(tmp_path_factory.mktemp("nats")) as servers:
        yield servers


@pytest.fixture
def nats(nats_servers: DevCluster) -> Generator[DevCluster]:
    """Three servers that run, with nothing in JetStream.  A test may kill, pause and restart them as it likes."""
    yield nats_servers
    make_whole(nats_servers)
