"""See `sylvite.compat.yaml`."""

from sylvite.compat.yaml import dump, load, safe_dump, safe_load

__all__ = ["dump", "load", "safe_dump", "safe_load"]
