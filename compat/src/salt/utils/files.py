"""See `sylvite.compat.files`."""

from sylvite.compat.files import fopen

__all__ = ["fopen"]
