"""See `sylvite.compat.clients`."""

from sylvite.compat.clients import WheelClient

__all__ = ["WheelClient"]
