"""See `sylvite.compat.stringutils`."""

from sylvite.compat.stringutils import to_bytes, to_str, to_unicode

__all__ = ["to_bytes", "to_str", "to_unicode"]
