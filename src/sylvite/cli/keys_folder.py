"""The folder of the keys, for the commands of `sylvite keys`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public, public_name
from sylvite.auth.keys import PublicKey
from sylvite.cli.broker import default_places
from sylvite.cli.command import GlobalOptions
from sylvite.client import address
from sylvite.errors import InvalidSetting

VARIABLE = "SYLVITE_DIR"
FOLDER = "keys"
MASTER = "master"
"""Its pair is `master.key` and `master.pub`."""


def dir_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--dir`, as `folder`."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"Data folder of the master, with the keys in DIR/{FOLDER} [{VARIABLE}, else as --config says].",
    )(function)


def keys_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --dir and --config; the command gets `folder`, the data folder that follows from both and from the surroundings."""

    @functools.wraps(function)
    def run(*arguments: Any, folder: Path | None, config: Path | None, **more: Any) -> Any:
        if folder is not None and config is not None:
            raise click.UsageError("--dir goes without --config, which has it as data_dir")
        options = click.get_current_context().ensure_object(GlobalOptions)
        return function(*arguments, folder=_data_folder(options, folder, config), **more)

    return dir_option(
        click.option(
            "-c",
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Configuration of the master [/etc/sylvite/master].",
        )(run)
    )


def _data_folder(options: GlobalOptions, folder: Path | None, config: Path | None) -> Path:
    """Return the data folder of the master; where its configuration is known, its bus is the one that is spoken to.

    Raises:
        InvalidSetting: its configuration is wrong.
    """
    if folder is not None:
        return folder
    if config is None and (named := os.environ.get(VARIABLE)):
        return Path(named)
    # 30 ms: only for those who need it.
    from sylvite.daemons.options.computing import bus_of
    from sylvite.daemons.options.master import MasterOptions
    from sylvite.daemons.options.reading import is_there, load_master, usual_file

    if config is None and not is_there(usual_file("master")):
        alone = default_places()[0]
        is_master = os.geteuid() == 0 and not (alone / FOLDER).exists()
        return MasterOptions().data_dir if is_master else alone
    found = load_master(config).raise_first().options
    if options.socket is None and not os.environ.get(address.VARIABLE):
        options.socket = str(bus_of(found))
    return found.data_dir


def folder_of_keys(folder: Path) -> Path:
    return folder / FOLDER


def open_keyring(folder: Path) -> Keyring:
    """Raises InvalidSetting: the folder is not there, or not ours alone; and as `Keyring`."""
    return Keyring.open(folder_of_keys(folder))


def master_key(folder: KeyFolder) -> PublicKey:
    """Raises InvalidSetting: the master has no key yet, or the file is not ours alone."""
    if not folder.has(public_name(MASTER)):
        raise InvalidSetting(
            "keys", str(folder.path / public_name(MASTER)), "is not there: the master has no key; `sylvite keys gen` makes it"
        )  # fmt: skip
    return load_public(folder, MASTER)
