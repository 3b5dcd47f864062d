"""One browser, one master and one minion for all tests of the console."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.console import browser as chromium
from tests.console import site as sites
from tests.console.browser import Visit
from tests.console.site import Console

Visits = Callable[..., Visit]


@pytest.fixture(scope="package")
def browser() -> Generator[Browser]:
    with chromium.running() as running:
        yield running


@pytest.fixture(scope="package")
def console(tmp_path_factory: pytest.TempPathFactory) -> Generator[Console]:
    with sites.running(tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture
def visits(browser: Browser, console: Console) -> Iterator[Visits]:
    """Make visits to the console; what their pages have done wrong is said at the end of the test."""
    made: list[Visit] = []

    def visit(**options: Any) -> Visit:
        made.append(Visit(browser, console.port, sites.PREFIX, **options))
        return made[-1]

    yield visit
    for each in made:
        each.close()


@pytest.fixture
def visit(visits: Visits, console: Console) -> Visit:
    """A visit that may do everything."""
    found = visits()
    found.enter(console.link())
    return found
