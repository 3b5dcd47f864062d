"""Colour: whether to use it, and how.  It never carries meaning alone."""

from __future__ import annotations

import os
import zlib
from typing import IO, Any

RESET = "\033[0m"
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
MARK = "30;43"
"""What `--highlight` finds: black on yellow."""
_TAG_COLORS = ("32", "33", "34", "35", "36", "92", "93", "94", "95", "96")


def wants_color(choice: str, stream: IO[Any]) -> bool:
    """Decide for one output.  `choice`: the option, which wins over NO_COLOR, and that over FORCE_COLOR."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and stream.isatty()


class Painter:
    """Puts colour around text, or does not."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled

    def paint(self, text: str, style: str) -> str:
        return f"\033[{style}m{text}{RESET}" if self.enabled else text

    def tag(self, tag: str) -> str:
        """Colour a tag by its first two segments, so that what belongs together looks alike, run after run."""
        if not self.enabled:
            return tag
        family = "/".join(tag.split("/", 2)[:2])
        return self.paint(tag, _TAG_COLORS[zlib.crc32(family.encode()) % len(_TAG_COLORS)])
