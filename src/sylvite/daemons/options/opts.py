"""Opts: options as the map that functions written for Salt find in `__opts__`."""

from __future__ import annotations

from typing import Any

from sylvite.daemons.options.explaining import plain
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.node import fields_of
from sylvite.daemons.options.reading import Loaded, form_of


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
