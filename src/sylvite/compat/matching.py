"""Tags as `salt.utils.event` makes and compares them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, cast

TAGPARTER = "/"
SALT = "salt"
TAGS = {
    name: name for name in ("auth", "job", "key", "minion", "syndic", "run", "wheel", "cloud", "fileserver", "queue")
}
"""What `tagify` takes as a prefix, and puts into tags."""

Match = Callable[[str, str], bool]
"""Does the tag of an event (first) fit what is searched for (second)."""


def tagify(suffix: Any = "", prefix: str = "", base: str = SALT) -> str:
    """Return a tag of parts: base, prefix, and the suffix, which may be several."""
    parts: list[Any] = [base, TAGS.get(prefix, prefix)]
    if isinstance(suffix, Iterable) and not isinstance(suffix, str):
        parts.extend(cast("Iterable[Any]", suffix))
    else:
        parts.append(suffix)
    texts = [part.decode() if isinstance(part, bytes) else str(part) for part in parts]
    return TAGPARTER.join(text for text in texts if text)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("^" + pattern)


MATCHES: dict[str, Match] = {
    "startswith": lambda tag, searched: tag.startswith(searched),
    "endswith": lambda tag, searched: tag.endswith(searched),
    "find": lambda tag, searched: searched in tag,
    "regex": lambda tag, searched: _compiled(searched).search(tag) is not None,
    "fnmatch": fnmatch.fnmatch,
}
