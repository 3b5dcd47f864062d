"""Tags: the names of events.

Salt takes any text, so what its programs and people use today has to pass: `salt/job/20261123224730771814/ret/web1`,
`minion_start`, `key`, `my tag`. What is refused is what could deceive a reader or break a line or a frame: control
characters, line separators, marks that turn the direction of text, and more than 256 bytes. A tag is never used as a
path, so `..` in it means nothing.
"""

from __future__ import annotations

import re

from sylvite.errors import InvalidTag

TAG_BYTES_MAX = 256

_UNFIT = "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def check_tag(tag: str) -> str:
    """Return the tag.  Raises InvalidTag."""
    if tag.isascii() and tag.isprintable() and 0 < len(tag) <= TAG_BYTES_MAX:
        return tag  # Nearly all tags.
    if not tag:
        raise InvalidTag(tag, "a tag has at least one character")
    if unfit := unfit_in(tag):
        raise InvalidTag(tag, unfit)
    if len(tag.encode()) > TAG_BYTES_MAX:
        raise InvalidTag(tag, f"a tag has at most {TAG_BYTES_MAX} bytes")
    return tag


def unfit_in(text: str) -> str | None:
    """Say what in a tag, or in another name that people are shown, is not allowed; None where there is nothing."""
    found = re.search(_UNFIT, text)
    if found is None:
        return None
    character = f"character U+{ord(found.group()):04X} at {found.start()}"
    return f"{character} is not allowed: no control characters, no line breaks"
