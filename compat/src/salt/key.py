"""See `sylvite.compat.keys`."""

from sylvite.compat.keys import Key, get_key

__all__ = ["Key", "get_key"]
