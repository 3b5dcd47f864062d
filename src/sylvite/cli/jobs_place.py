"""The master whose jobs a command of `sylvite jobs` is about."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.broker import default_places
from sylvite.cli.command import GlobalOptions
from sylvite.cli.keys_folder import FOLDER, VARIABLE
from sylvite.client import address

if TYPE_CHECKING:
    from sylvite.jobs.client_core import MasterPlace


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --dir and --config; the command gets `place`, which follows from both and from the surroundings."""

    @functools.wraps(function)
    def run(*arguments: Any, folder: Path | None, config: Path | None, **more: Any) -> Any:
        if folder is not None and config is not None:
            raise click.UsageError("--dir goes without --config, which has it as data_dir")
        options = click.get_current_context().ensure_object(GlobalOptions)
        return function(*arguments, place=_place(options, folder, config), **more)

    config = click.option(
        "-c", "--config", type=click.Path(path_type=Path), metavar="FILE",
        help="Configuration of the master [/etc/sylvite/master].",
    )  # fmt: skip
    folder = click.option(
        "--dir", "folder", type=click.Path(path_type=Path), metavar="DIR",
        help=f"Data folder of the master [{VARIABLE}, else as --config says].",
    )  # fmt: skip
    return folder(config(run))


def _place(options: GlobalOptions, folder: Path | None, config: Path | None) -> MasterPlace:
    """Raises InvalidSetting: the configuration is wrong."""
    # Here, because the help of these commands need not wait for them.
    import msgspec

    from sylvite.daemons.options.master import MasterOptions
    from sylvite.daemons.options.reading import is_there, load_master, usual_file
    from sylvite.jobs.client_core import MasterPlace

    told = options.socket or os.environ.get(address.VARIABLE)
    if folder is None and config is None and (named := os.environ.get(VARIABLE)):
        folder = Path(named)
    if folder is None and config is None and not is_there(usual_file("master")):
        alone = default_places()[0]
        is_master = os.geteuid() == 0 and not (alone / FOLDER).exists()
        folder = MasterOptions().data_dir if is_master else alone
    if folder is not None:
        return MasterPlace(socket=Path(told) if told else None, data_dir=folder)
    place = MasterPlace.of(load_master(config).raise_first().options)
    return msgspec.structs.replace(place, socket=Path(told)) if told else place
