from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from sylvite.testing.broker import broker as started
from tests.compat.places import run_program, shim_environment
from tests.daemons.nodes import WITHIN_S, Site

MINION = "minion-0042"
"""As in the recordings."""


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with started() as process:
        yield process


@pytest.fixture
def bus(broker: BrokerProcess) -> Iterator[Client]:
    with Client.connect(broker.socket) as client:
        yield client


ACCEPT = """
import sys
from sylvite.cli.main import main
sys.exit(main(["--socket", {bus!r}, "keys", "accept", "-y", "--dir", {data!r}, "minion-0042"]))
"""


class Nodes(NamedTuple):
    site: Site
    environment: dict[str, str]


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A master, and its minion, which is let in; and how programs find them."""
    site = Site(tmp_path_factory.mktemp("nodes"), MINION)
    site.configure_minion(acceptance_wait_time="1")
    environment = {
        **shim_environment(), "SALT_MASTER_CONFIG": str(site.master_file), "SALT_MINION_CONFIG": str(site.minion_file),
    }  # fmt: skip
    with site.master(), site.minion("--trust-first-master"), Client.connect(site.bus) as bus:
        bus.wait("salt/auth", where="data.act == 'pend'", since="oldest", timeout_s=WITHIN_S)
        run_program(ACCEPT.format(data=str(site.data), bus=str(site.bus)))
        bus.wait("salt/minion/minion-0042/start", since="oldest", timeout_s=WITHIN_S)
        yield Nodes(site, environment)
