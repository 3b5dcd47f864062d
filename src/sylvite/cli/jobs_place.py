"""The master whose jobs a command of `sylvite jobs` is about."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sylvite.cli.command import GlobalOptions
from sylvite.cli.master_place import FoundMaster, master_options
from sylvite.client import address

if TYPE_CHECKING:
    from sylvite.jobs.client_core import MasterPlace


def _place(options: GlobalOptions, found: FoundMaster) -> MasterPlace:
    # Here, because the help of these commands need not wait for them.
    import msgspec

    from sylvite.jobs.client_core import MasterPlace

    told = options.socket or os.environ.get(address.VARIABLE)
    if found.configured is None:
        return MasterPlace(socket=Path(told) if told else None, data_dir=found.data_dir)
    place = MasterPlace.of(found.configured)
    return msgspec.structs.replace(place, socket=Path(told)) if told else place


place_options = master_options("place", _place)
"""Add --dir and --config; the command gets `place`."""
