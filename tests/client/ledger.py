"""What must be true of a log after a bad day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sylvite import Client, Event


def history(path: Path, *patterns: str) -> list[Event]:
    """Return everything in the log that fits, in order, over a connection of its own."""
    with Client.connect(path) as client:
        return list(client.subscribe(*patterns, since="oldest", until_end=True))


def numbers(events: list[Event]) -> list[int]:
    return [event.data["n"] for event in events]


def repeated(found: list[int]) -> list[int]:
    return [n for n, count in Counter(found).items() if count > 1]
