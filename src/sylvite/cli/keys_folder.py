"""The folder of the keys, for the commands of `sylvite keys`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public, public_name
from sylvite.auth.keys import PublicKey
from sylvite.cli.broker import default_places
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
        help=f"Data folder of the master, with the keys in DIR/{FOLDER} [{VARIABLE}, else the broker's].",
    )(function)


def folder_of_keys(folder: Path | None) -> Path:
    if folder is None:
        named = os.environ.get(VARIABLE)
        folder = Path(named) if named else default_places()[0]
    return folder / FOLDER


def open_keyring(folder: Path | None) -> Keyring:
    """Raises InvalidSetting: the folder is not there, or not ours alone; and as `Keyring`."""
    return Keyring.open(folder_of_keys(folder))


def master_key(folder: KeyFolder) -> PublicKey:
    """Raises InvalidSetting: the master has no key yet, or the file is not ours alone."""
    if not folder.has(public_name(MASTER)):
        raise InvalidSetting(
            "keys", str(folder.path / public_name(MASTER)), "is not there: the master has no key; `sylvite keys gen` makes it"
        )  # fmt: skip
    return load_public(folder, MASTER)
