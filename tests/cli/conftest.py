"""Fixtures for the command line: a known time zone, no colour from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _known_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC, and none of the variables that a terminal or a user sets."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        for name in ("NO_COLOR", "FORCE_COLOR", "SYLVITE_SOCKET", "COLUMNS"):
            patch.delenv(name, raising=False)
        yield
    time.tzset()
