"""Look after functions."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from sylvite.errors import SylviteError
from sylvite.functions.given import __bus__, __custom__, __reload__


def sync_modules(refresh: bool = True) -> list[str]:
    """
    Look for modules of your own again, and return which there are.

    They are run from where they lie: there is nothing to copy.

    CLI Example:

        sylvite call saltutil.sync_modules
    """
    if refresh:
        __reload__()
    return [f"modules.{name}" for name in __custom__()]


def sync_all(refresh: bool = True) -> dict[str, list[str]]:
    """
    Look for everything of your own again, and return what there is.

    CLI Example:

        sylvite call saltutil.sync_all
    """
    return {"modules": sync_modules(refresh)}


def refresh_modules() -> bool:
    """
    Look at the files of all modules again, and tell the minion to do so.

    CLI Example:

        sylvite call saltutil.refresh_modules
    """
    __reload__()
    try:
        __bus__.fire("module_refresh", {})
    except SylviteError:
        return False
    return True


def refresh_grains() -> bool:
    """
    Tell the minion to look at its machine again.

    CLI Example:

        sylvite call saltutil.refresh_grains
    """
    try:
        __bus__.fire("grains_refresh", {})
    except SylviteError:
        return False
    return True
