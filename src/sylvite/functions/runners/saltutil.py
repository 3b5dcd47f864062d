"""Look after functions of the master."""

from __future__ import annotations

from sylvite.functions.given import __loaders__


def sync_modules(saltenv: str = "base") -> list[str]:
    """
    Look for execution functions of your own again, and return which modules of them there are.

    They are run from where they lie: there is nothing to copy.

    CLI Example:

        sylvite run saltutil.sync_modules
    """
    return _names("module", "modules", saltenv)


def sync_runners(saltenv: str = "base") -> list[str]:
    """
    Look for runners of your own again, and return which modules of them there are.

    CLI Example:

        sylvite run saltutil.sync_runners
    """
    return _names("runner", "runners", saltenv)


def sync_wheel(saltenv: str = "base") -> list[str]:
    """
    Look for wheel functions of your own again, and return which modules of them there are.

    CLI Example:

        sylvite run saltutil.sync_wheel
    """
    return _names("wheel", "wheel", saltenv)


def sync_all(saltenv: str = "base") -> dict[str, list[str]]:
    """
    Look for everything of your own again, and return what there is.

    CLI Example:

        sylvite run saltutil.sync_all
    """
    return {"modules": sync_modules(saltenv), "runners": sync_runners(saltenv), "wheel": sync_wheel(saltenv)}


def _names(word: str, kind: str, saltenv: str) -> list[str]:
    del saltenv  # Functions are those of `base`, and of the folders that are named.
    loader = __loaders__[word]
    loader.refresh()
    return [f"{kind}.{name}" for name in loader.news()]
