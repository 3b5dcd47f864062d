"""MasterKeys: the master's pair and its word on the next one, as the folder has them at the moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from sylvite.auth import rollover
from sylvite.auth.keyring_folder import KeyFolder, load_pair, private_name
from sylvite.auth.keys import KeyPair

NAME = "master"


class Found(NamedTuple):
    """`statement`: empty where no other key is to follow."""

    pair: KeyPair
    statement: bytes


class MasterKeys:
    """Looks at the files again where they have changed.  In one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[object, ...] = ()
        self._found: Found | None = None

    def look(self) -> Found:
        """Raises InvalidSetting, BadEnrolment: a file is not as it should be."""
        # The word on a key is taken away after the key was put in its place: seen in this order, nothing is missed.
        seen = tuple(self._stamp(name) for name in (private_name(NAME), f"{rollover.next_name(NAME)}.said"))
        if self._found is None or seen != self._seen:
            with KeyFolder(self._path) as folder, folder.locked():
                self._found = Found(load_pair(folder, NAME), rollover.statement_of(folder, NAME))
            self._seen = seen
        return self._found

    def _stamp(self, name: str) -> object:
        try:
            status = os.stat(self._path / name)
        except FileNotFoundError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size)
