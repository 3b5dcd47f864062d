"""Fixtures for tests of machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.openstack import OpenStack
from tests.cloud.surroundings import Surroundings


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(tmp_path)


@pytest.fixture
def openstack() -> Iterator[OpenStack]:
    with OpenStack() as server:
        yield server
