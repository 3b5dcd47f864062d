"""The master that a command is about, and the bus of a part of one: from --dir, --config, --master and the surroundings."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sylvite.cli.broker import default_places
from sylvite.cli.command import Function, GlobalOptions
from sylvite.client import address

if TYPE_CHECKING:
    from sylvite.daemons.configuration import Configuration
    from sylvite.daemons.options.master import MasterOptions

VARIABLE = "SYLVITE_DIR"
KEYS = "keys"
"""In the data folder of a master."""


class FoundMaster(NamedTuple):
    """`configured`: its options, where its configuration says where it is."""

    data_dir: Path
    configured: MasterOptions | None = None


def dir_option(function: Function) -> Function:
    """Add --dir, as `folder`."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"Data folder of the master [{VARIABLE}, else as --config says].",
    )(function)


def master_options(name: str, resolve: Callable[[GlobalOptions, FoundMaster], Any]) -> Callable[[Function], Function]:
    """Add --dir and --config; the command gets, as `name`, what `resolve` makes of the master that they and the surroundings name."""

    def add(function: Function) -> Function:
        @functools.wraps(function)
        def run(*arguments: Any, folder: Path | None, config: Path | None, **more: Any) -> Any:
            if folder is not None and config is not None:
                raise click.UsageError("--dir goes without --config, which has it as data_dir")
            options = click.get_current_context().ensure_object(GlobalOptions)
            return function(*arguments, **{name: resolve(options, find_master(folder, config))}, **more)

        return dir_option(
            click.option(
                "-c",
                "--config",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Configuration of the master [/etc/sylvite/master].",
            )(run)
        )

    return add


def find_master(folder: Path | None, config: Path | None) -> FoundMaster:
    """Raises InvalidSetting: its configuration is wrong."""
    if folder is not None:
        return FoundMaster(folder)
    if config is None and (named := os.environ.get(VARIABLE)):
        return FoundMaster(Path(named))
    # 30 ms: only for those who need it.
    from sylvite.daemons.options.master import MasterOptions
    from sylvite.daemons.options.reading import is_there, load_master, usual_file

    if config is None and not is_there(usual_file("master")):
        alone = default_places()[0]
        is_master = os.geteuid() == 0 and not (alone / KEYS).exists()
        return FoundMaster(MasterOptions().data_dir if is_master else alone)
    found = load_master(config).raise_first().options
    return FoundMaster(found.data_dir, found)


def data_folder(options: GlobalOptions, found: FoundMaster) -> Path:
    """Return the data folder; where its configuration is known, its bus is the one that is spoken to."""
    if found.configured is not None and options.socket is None and not os.environ.get(address.VARIABLE):
        from sylvite.daemons.options.computing import bus_of

        options.socket = str(bus_of(found.configured))
    return found.data_dir


# -- Parts -------------------------------------------------------------------------------------------------------------


def folder_of_part(folder: Path | None, master_file: Path | None) -> Path | None:
    """Return what a part is told of its data folder: of one that runs alone, that of the broker beside it."""
    if folder is not None or master_file is not None:
        return folder
    named = os.environ.get(VARIABLE)
    return Path(named) if named else default_places()[0]


def bus_of_part(options: GlobalOptions, master_file: Path | None, configured: MasterOptions) -> Path:
    """Return the socket of the bus that a part serves."""
    from sylvite.daemons.options.computing import bus_of

    if options.socket is not None:
        return Path(options.socket)
    return Path(address.default_socket()) if master_file is None else bus_of(configured)


def configured_part(
    options: GlobalOptions, master_file: Path | None, folder: Path | None, more: dict[str, Any]
) -> tuple[Configuration[MasterOptions], Path]:
    """Return the configuration of a part and the socket of its bus.  `more`: other options that were given, by their fields.

    Raises InvalidSetting: its configuration is wrong.
    """
    from sylvite.daemons.configuration import part_configuration

    place = folder_of_part(folder, master_file)
    configuration = part_configuration(master_file, more if place is None else {"data_dir": place, **more})
    return configuration, bus_of_part(options, master_file, configuration.options)
