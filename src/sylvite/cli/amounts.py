"""Amounts as people read them: bytes, counts, ages."""

from __future__ import annotations

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def show_bytes(size: float) -> str:
    """`38.1 GiB`."""
    if size < 1024:
        return f"{size:.0f} B"
    power = 0
    # What would be rounded up to 1024.0 goes to the next unit.
    while size >= 1023.95 and power < len(_UNITS):
        size, power = size / 1024, power + 1
    return f"{size:.1f} {_UNITS[power - 1]}"


def show_count(count: int) -> str:
    """`91 204 118`, in the way that reads the same everywhere."""
    return f"{count:,}".replace(",", " ")


def show_number_of(count: int, noun: str) -> str:
    """`1 segment`, `412 segments`."""
    return f"{show_count(count)} {noun}{'' if count == 1 else 's'}"


def show_duration(seconds: float) -> str:
    """`2.5 s`, `4 min`, `3.1 h`, `41 d`: two digits that matter."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    for limit, unit_s, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            shown = seconds / unit_s
            return f"{shown:.1f} {unit}" if shown < 9.95 else f"{shown:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def show_age(seconds: float) -> str:
    """`3 min ago`, or `now`."""
    return "now" if seconds < 1 else f"{show_duration(seconds)} ago"
