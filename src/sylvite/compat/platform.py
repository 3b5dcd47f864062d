"""`salt.utils.platform`: which system this is."""

from __future__ import annotations

import sys


def is_windows() -> bool:
    return sys.platform == "win32"


def is_linux() -> bool:
    return sys.platform.startswith("linux")


def is_darwin() -> bool:
    return sys.platform == "darwin"


def is_proxy() -> bool:
    return False
