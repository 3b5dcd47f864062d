"""`salt.utils.files`: opening files."""

from __future__ import annotations

import os
from typing import IO, Any


def fopen(file: str | os.PathLike[str], mode: str = "r", **kwargs: Any) -> IO[Any]:
    """Open a file; text is UTF-8.  Programs that are started do not inherit it."""
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
    return open(file, mode, **kwargs)
