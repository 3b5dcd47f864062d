"""See `sylvite.compat.keys`."""

from sylvite.compat.keys import CkMinions

__all__ = ["CkMinions"]
