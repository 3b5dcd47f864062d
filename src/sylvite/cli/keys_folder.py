"""The folder of the keys, for the commands of `sylvite keys`."""

from __future__ import annotations

from pathlib import Path

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public, public_name
from sylvite.auth.keys import PublicKey
from sylvite.cli.master_place import KEYS, data_folder, master_options
from sylvite.errors import InvalidSetting

MASTER = "master"
"""Its pair is `master.key` and `master.pub`."""
keys_options = master_options("folder", data_folder)
"""Add --dir and --config; the command gets `folder`, the data folder of the master."""


def folder_of_keys(folder: Path) -> Path:
    return folder / KEYS


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
