"""Tables of messages in the pages on protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from sylvite.wire.messages import Message
from sylvite.wire.session import Table
from tests.docs.blocks import table_under


def shown_messages(page: Path) -> dict[int, tuple[str, int]]:
    """Return of each number in the table the name, and of how many fields it tells."""
    shown: dict[int, tuple[str, int]] = {}
    for numbers, names, fields, _ in table_under(page, "Messages"):
        each = fields.split("; ")
        for place, (number, name) in enumerate(zip(numbers.split(", "), names.split(", "), strict=True)):
            shown[int(number)] = (name, len(each[min(place, len(each) - 1)].split(", ")))
    return shown


def messages_of(kinds: Mapping[int, type[Message]]) -> dict[int, tuple[str, int]]:
    return {number: (kind.__name__, len(msgspec.structs.fields(kind))) for number, kind in kinds.items()}


def speakers(page: Path, tables: Mapping[str, Table]) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield each message in the table, who says it there, and who may by the state tables of these sides."""
    said = {side: {kind.__name__ for state in table.values() for kind in state} for side, table in tables.items()}
    for _, names, _, who in table_under(page, "Messages"):
        for name in names.split(", "):
            yield name, set(tables) if who == "both" else {who}, {side for side in said if name in said[side]}
