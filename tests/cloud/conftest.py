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


@pytest.fixture
def lab(around: Surroundings, openstack: OpenStack) -> Surroundings:
    """A provider `lab` at the OpenStack, with a profile `web`."""
    around.provider("lab", **openstack.provider())
    around.profile("web", provider="lab", size="m1.small", image="debian-12")
    return around
