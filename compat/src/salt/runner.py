"""See `sylvite.compat.clients`."""

from sylvite.compat.clients import RunnerClient

__all__ = ["RunnerClient"]
