"""Grains of one's own, kept in a file: `grains` beside the configuration of the node, a map in YAML.

`grains.setval` and its relatives write it, in Salt's place and form; the option `grains` stands above it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from sylvite.config import read_yaml
from sylvite.errors import InvalidSetting
from sylvite.functions.errors import ModuleNotLoaded
from sylvite.functions.grains import collect_grains
from sylvite.functions.sources import read_source

NAME = "grains"
MODE = 0o600

Grains = dict[str, Any]
logger = logging.getLogger("sylvite.functions")


def grains_of(opts: Mapping[str, Any]) -> Grains:
    """Return all grains of the node with these options.  A file that cannot be used is left out, as Salt does it, and said."""
    kept: Grains = {}
    try:
        if folder := opts.get("config_dir"):
            kept = read_grains(Path(folder) / NAME)
    except InvalidSetting as error:
        # A minion does jobs all the same: somebody has to be able to put the file right.
        logger.error("the grains of a file are left out: %s", error)
    own = opts.get("grains")
    return collect_grains(opts.get("id") or None, {**kept, **(own if isinstance(own, dict) else {})})


def read_grains(path: Path) -> Grains:
    """Return what is kept; nothing where there is no file.

    Raises:
        InvalidSetting: it cannot be read, is no map, or others could have written it.
    """
    if not path.exists():
        return {}
    try:
        found = read_yaml(read_source(path), str(path))
    except ModuleNotLoaded as error:
        raise InvalidSetting("grains", str(path), f"cannot be used: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidSetting("grains", str(path), "must be a map of grains")
    return cast("Grains", found)


def change_grains(path: Path, change: Callable[[Grains], None]) -> Grains:
    """Change what is kept, and return all of it.  One at a time: two that change it at once both count.

    Raises:
        InvalidSetting: it cannot be read.  OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        grains = read_grains(path)
        change(grains)
        _write(path, grains)
        os.fsync(folder)
    finally:
        os.close(folder)
    return grains


def _write(path: Path, grains: Grains) -> None:
    yaml: Any = import_module("yaml")  # it has no types
    content: str = yaml.safe_dump(grains, default_flow_style=False, allow_unicode=True)
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
