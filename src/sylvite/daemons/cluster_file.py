"""The file that makes a master a member of a cluster: `master.d/cluster.conf`, beside its main file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sylvite.cluster.settings import ClusterSettings
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.reading import Loaded, load_master
from sylvite.daemons.precautions import check_file
from sylvite.errors import InvalidSetting

FIRST_LINE = "# Written by `sylvite cluster join`; `sylvite cluster leave` removes it."
FOLDER, NAME = "master.d", "cluster.conf"
FOLDER_MODE, MODE = 0o755, 0o644
"""There is no secret in it."""
HEAD_BYTES = 4096


def place_of(loaded: Loaded[MasterOptions]) -> Path:
    return loaded.main.parent / FOLDER / NAME


def is_ours(path: Path) -> bool:
    """Say whether a file is there that `write` has written.  Raises InvalidSetting: it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES).decode(errors="replace").partition("\n")[0] == FIRST_LINE
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InvalidSetting("config", str(path), f"cannot be read: {error.strerror}") from error


def said_elsewhere(loaded: Loaded[MasterOptions]) -> str | None:
    """Return which line that `write` has not written says something of a cluster."""
    path = place_of(loaded)
    ours = str(path) if is_ours(path) else None
    return next((str(said.place) for said in loaded.said.get("cluster", ()) if said.place.file != ours), None)


def check_free(loaded: Loaded[MasterOptions]) -> None:
    """Raises InvalidSetting: the main file is not there, or what is there is not ours to change."""
    path = place_of(loaded)
    if not loaded.files:
        raise InvalidSetting(
            "config", str(loaded.main), "is not there; an empty file is enough, or name another with -c"
        )
    if os.path.lexists(path) and not is_ours(path):
        raise InvalidSetting(
            "config", str(path), "is there, and `sylvite cluster join` has not written it; move it away"
        )
    if (line := said_elsewhere(loaded)) is not None:
        raise InvalidSetting("cluster", line, "names a cluster already; take it out there first")


def write(loaded: Loaded[MasterOptions], said: Mapping[str, Any], wanted: ClusterSettings) -> Path:
    """Write the file, whole or not at all; return where it is.

    Raises:
        InvalidSetting: it cannot be written, or the master would not read in it what was meant; then it is not there.
    """
    check_free(loaded)
    path = place_of(loaded)
    text = f"{FIRST_LINE}\ncluster: {msgspec.json.encode(said).decode()}\n"
    new = path.with_name(f".{NAME}.new")
    try:
        path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        check_file(new, "config")
        new.replace(path)
    except OSError as error:
        raise InvalidSetting("config", str(path), f"cannot be written: {error.strerror}") from error
    try:
        found = load_master(loaded.main).raise_first().options.cluster
        if found != wanted:
            reason = "is not read by the master: default_include of its main file leaves it out"
            raise InvalidSetting("config", str(path), reason)
    except InvalidSetting:
        path.unlink()
        raise
    return path


def remove(path: Path) -> None:
    """Raises InvalidSetting: it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidSetting("config", str(path), f"cannot be removed: {error.strerror}") from error
