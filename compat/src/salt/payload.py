"""See `sylvite.compat.payload`."""

from sylvite.compat.payload import dumps, loads

__all__ = ["dumps", "loads"]
