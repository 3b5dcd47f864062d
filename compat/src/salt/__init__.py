"""Salt's names over a Sylvite bus.  Nothing is here but names: what they do is in `sylvite.compat`."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from sylvite.compat.version import SALT_VERSION

__version__ = SALT_VERSION
_PARTS = (
    "client", "config", "defaults", "exceptions", "key", "minion", "payload", "runner", "syspaths", "utils", "version", "wheel",
)  # fmt: skip


def _refuse_beside_salt() -> None:
    """Raises ImportError: Salt itself is in this environment too."""
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # There need not be such a folder.
        for name in names:
            if name.startswith("salt-") and name.endswith((".dist-info", ".egg-info")):
                raise ImportError(
                    f"sylvite-salt and Salt itself are both in this environment ({os.path.join(folder, name)}), and both are "
                    "called `salt`: uninstall one of them, or give each an environment of its own"
                )


_refuse_beside_salt()


def __getattr__(name: str) -> Any:
    # Salt's modules import each other: so scripts use `salt.config` having imported `salt.utils.event` only.
    if name in _PARTS:
        return import_module(f"salt.{name}")
    raise AttributeError(f"module 'salt' has no attribute {name!r}")
