"""See `sylvite.compat.defaults`."""

from sylvite.compat.defaults import DEFAULT_MINION_OPTS

__all__ = ["DEFAULT_MINION_OPTS"]
