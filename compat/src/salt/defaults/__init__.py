"""Thin: see `sylvite.compat`."""

DEFAULT_TARGET_DELIM = ":"
