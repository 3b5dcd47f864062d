"""See `sylvite.compat.clients`."""

from sylvite.compat.clients import Caller, LocalClient, get_local_client

__all__ = ["Caller", "LocalClient", "get_local_client"]
