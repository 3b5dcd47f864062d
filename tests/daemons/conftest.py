"""Fixtures: a minion to which jobs are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons.job_site import Jobs, JobSite


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """One minion for all tests of a file that leave it as it was: that is what they show."""
    site = JobSite(tmp_path_factory.mktemp("jobs"))
    with site.running() as jobs:
        yield jobs


@pytest.fixture
def job_site(tmp_path: Path) -> JobSite:
    return JobSite(tmp_path)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where a function says which process is to be watched."""
    return tmp_path / "mark"
