"""Compat: what bears Salt's names, over the bus.  The distribution `sylvite-salt` (compat/) gives it as the package `salt`."""
