"""Secrets: a type that prints as `***`, and what takes them out of texts that others wrote.

A secret leaves its type in two places only: where a driver is made, and where a machine is given its files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn, cast

from sylvite.errors import InvalidData

HIDDEN = "***"
REDACTED_CHARACTERS_MIN = 6
"""Shorter texts are not looked for in others: they would take away half of every message."""
LINE_CHARACTERS_MIN = 16

_secret_name = re.compile(
    r"pass(word|wd|phrase)?($|_)|secret|token|credential|creds$|api_?key|private_key|key_material|(^|_)key$|pem$|"
    r"^(ex_)?user_?data$|custom_?data|script_env|admin_?pass|priv_key|^proxy_url$",
    re.IGNORECASE,
)
_paths = ("key_file", "private_key_file", "key_filename", "ssh_private_key")


class Secret:
    """Holds a text.  It is shown as `***`, and cannot be packed, pickled or joined to other text by mistake."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise InvalidData("a secret is not packed")


def is_secret_name(name: str) -> bool:
    """Say whether what stands under this name is one: `password`, `apikey`, `personal_access_token`, ..."""
    return name not in _paths and _secret_name.search(name) is not None


def _is_telling(line: str) -> bool:
    return len(line) >= LINE_CHARACTERS_MIN and not line.startswith("-----")


def revealed(value: Any) -> Any:
    """Return a value with all secrets in it in the open: for a driver, and nobody else."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, dict):
        return {key: revealed(inner) for key, inner in cast("dict[Any, Any]", value).items()}
    return [revealed(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


class Redactor:
    """Takes secrets out of texts and data."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        texts = {secret.reveal() for secret in secrets if len(secret.reveal()) >= REDACTED_CHARACTERS_MIN}
        # A key of several lines is quoted line by line.
        texts |= {line for text in texts if "\n" in text for line in text.splitlines() if _is_telling(line)}
        # Also in the forms in which a request is quoted back: JSON and URL.
        texts |= {re.sub(r'(["\\])', r"\\\1", text).replace("\n", "\\n") for text in texts}
        # The longest first: one secret may begin with another.
        ordered = sorted(texts, key=len, reverse=True)
        self._find = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        return self._find.sub(HIDDEN, text) if self._find is not None else text

    def data(self, value: Any, name: str = "") -> Any:
        """Return a value for an event: plain values only; those under a secret's name, and secrets anywhere, hidden."""
        if isinstance(value, Secret) or (name and is_secret_name(name) and value not in (None, "", False)):
            return HIDDEN
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            found = cast("dict[Any, Any]", value)
            return {str(key): self.data(inner, str(key)) for key, inner in found.items()}
        if isinstance(value, list | tuple):
            return [self.data(inner) for inner in cast("list[Any]", value)]
        return self.text(str(value))
