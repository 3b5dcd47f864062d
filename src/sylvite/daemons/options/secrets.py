"""Secrets: which values are never shown, whatever a file holds."""

from __future__ import annotations

import re
from typing import Any, cast

HIDDEN = "***"
KNOWN = frozenset(
    (
        "external_auth",
        "token_expire",
        "ssl_key",
        "url_token",
        "webhook_url",
        "webhook_disable_auth",
        "webhooks_in",
        "webhooks_out",
        "secret_file",
        "secret_header",
        "stats_disable_auth",
    )
)
"""Options whose names only sound so."""
_is_secret = re.compile(
    r"pass(word|wd|phrase)?($|_)|secret|token|credential|api_?key|private_?key|(^|_)key$|(^|_)auth$|webhook",
    re.IGNORECASE,
).search
_hide_in_addresses = re.compile(r"(?<=://)[^/@\s,]*@").sub


def hide(name: str, value: Any) -> Any:
    """Return a value with each one under a name that sounds like a secret replaced, however deep it lies, and users in addresses."""
    if _is_secret(name) and name.rpartition(".")[2] not in KNOWN and value not in (None, "", True, False):
        return HIDDEN
    if isinstance(value, dict):
        return {key: hide(str(key), inner) for key, inner in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [hide("", item) for item in cast("list[Any]", value)]
    if isinstance(value, str):
        return _hide_in_addresses(f"{HIDDEN}@", value)
    return value
