"""Opts: options as the map that functions written for Salt find in `__opts__`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sylvite.daemons.options.explaining import plain
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.node import fields_of
from sylvite.daemons.options.reading import Loaded, form_of, load_node


def master_opts(path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Return the options of the master of this machine, or of a file or folder, for functions and their clients.

    Raises:
        InvalidSetting: something in them is wrong.
    """
    return make_opts(load_node("master", None if path is None else Path(path)).raise_first())


def minion_opts(path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """As `master_opts`, of the minion of this machine."""
    return make_opts(load_node("minion", None if path is None else Path(path)).raise_first())


def make_opts(loaded: Loaded[Any]) -> dict[str, Any]:
    """Return the options by Salt's names and in Salt's units, and below them what else the files say.

    Secrets are in it as they are: it is for functions, not for showing.
    """
    options = loaded.options
    found = {
        field.encode_name: plain(form_of(field).write(getattr(options, field.name))) for field in fields_of(options)
    }
    return {
        **loaded.others,
        **found,
        "__role": "master" if isinstance(options, MasterOptions) else "minion",
        "conf_file": str(loaded.main),
        "config_dir": str(loaded.main.parent),
    }
