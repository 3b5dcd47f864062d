"""`salt.utils.stringutils`: text and bytes, as scripts written for Salt turn one into the other."""

from __future__ import annotations

from typing import Any


def to_bytes(s: Any, encoding: str | None = None, errors: str = "strict") -> bytes:
    """Return text as bytes.  Raises TypeError: it is neither."""
    if isinstance(s, bytes):
        return s
    if isinstance(s, bytearray):
        return bytes(s)
    if isinstance(s, str):
        return s.encode(encoding or "utf-8", errors)
    raise TypeError(f"expected str, bytes, or bytearray not {type(s)}")


def to_str(s: Any, encoding: str | None = None, errors: str = "strict", normalize: bool = False) -> str:  # noqa: FBT001, FBT002 - Salt's
    """Return bytes as text.  Raises TypeError: it is neither."""
    if isinstance(s, bytes | bytearray):
        s = bytes(s).decode(encoding or "utf-8", errors)
    if not isinstance(s, str):
        raise TypeError(f"expected str, bytes, or bytearray not {type(s)}")
    if normalize:
        import unicodedata

        return unicodedata.normalize("NFC", s)
    return s


to_unicode = to_str
