"""See `sylvite.compat.platform`."""

from sylvite.compat.platform import is_darwin, is_linux, is_proxy, is_windows

__all__ = ["is_darwin", "is_linux", "is_proxy", "is_windows"]
