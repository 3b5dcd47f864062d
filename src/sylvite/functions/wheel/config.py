"""Look at the options of the master, as far as they are for others to see."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from sylvite.functions.given import __opts__

SHOWN = (
    "id", "nodegroups", "order_masters", "reactor", "state_compress_ids", "state_output", "state_output_pct",
    "state_verbose", "syndic_master", "test_providers_target", "saltgui_*",
)  # fmt: skip
"""What pages for Salt's API look for.  Salt answers with all options, passwords and secrets among them."""


def values() -> dict[str, Any]:
    """
    Return those options of the master that a page for its users needs: no others, and no secrets.

    CLI Example:

        sylvite wheel config.values
    """
    return {name: value for name, value in __opts__.items() if any(fnmatchcase(name, shown) for shown in SHOWN)}
