"""Fixtures: one bus with its interface for all tests of a file, and a token that may do everything."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Generator[Api]:
    folder: Path = tmp_path_factory.mktemp("api")
    with BrokerProcess(folder / "bus") as broker, Api(broker) as process:
        yield process


@pytest.fixture(scope="module")
def token(api: Api) -> str:
    return api.token(*EVERYTHING)
