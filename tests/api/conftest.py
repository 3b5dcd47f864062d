"""Fixtures: one bus with its interface for all tests of a file, and a token that may do everything."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, Api
from tests.api.rest import Rest, running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Generator[Api]:
    folder: Path = tmp_path_factory.mktemp("api")
    with BrokerProcess(folder / "bus") as broker, Api(broker) as process:
        yield process


@pytest.fixture(scope="module")
def token(api: Api) -> str:
    return api.token(*EVERYTHING)


@pytest.fixture(scope="package")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Generator[Rest]:
    """A master with Salt's REST API, and a minion."""
    with running(tmp_path_factory.mktemp("rest")) as found:
        yield found


@pytest.fixture(scope="module")
def session(rest: Rest) -> str:
    return rest.log_in()
