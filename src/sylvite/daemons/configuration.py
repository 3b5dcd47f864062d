"""Configuration: the options of a process of a node, read when it starts, and again when it is told to (SIGHUP).

Every part of a master reads the master's files itself: an option is written once, and passes over no command line.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from sylvite.daemons.options.changing import wants_start
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.node import NodeOptions
from sylvite.daemons.options.reading import Loaded, load, load_master, load_minion, usual_file
from sylvite.errors import SylviteError

Options = TypeVar("Options", bound=NodeOptions)
logger = logging.getLogger("sylvite.configuration")


class Configuration(Generic[Options]):
    """`loaded`: what counts by now.  `given`: options of the command line, which win over what files say."""

    def __init__(self, read: Callable[[], Loaded[Options]], given: Mapping[str, Any] | None = None) -> None:
        """Raises InvalidSetting: an option is wrong; it names the line."""
        self._read, self._given = read, dict(given or {})
        self._takers: list[Callable[[Options], None]] = []
        self.is_part = False
        """One of several processes that read the same files: what they would all say, is said by the one that leads them."""
        self.loaded = self._with_given(read().raise_first())

    @property
    def options(self) -> Options:
        return self.loaded.options

    def on_change(self, take: Callable[[Options], None]) -> None:
        """Have `take` called with the new options whenever they were read again; an error that it raises is logged."""
        self._takers.append(take)

    def reload(self) -> bool:
        """Read the files again and tell those who asked for it; return whether they could be read.

        Where something is wrong with the files, all stays as it was, and each mistake is logged.
        """
        loaded = self._read()
        if loaded.errors:
            for wrong in loaded.errors:
                logger.error("the configuration stays as it was: %s", wrong)
            return False
        before, self.loaded = self.options, self._with_given(loaded)
        for take in self._takers:
            try:
                take(self.options)
            except SylviteError as error:
                logger.error("a part of the configuration stays as it was: %s", error)
        if not self.is_part:
            logger.info("the configuration was read again from %s", ", ".join(loaded.files) or "no file")
            for name in wants_start(before, self.options):
                logger.warning("%s has changed, and counts from the next start on", name)
            report(loaded)
        return True

    def _with_given(self, loaded: Loaded[Options]) -> Loaded[Options]:
        return msgspec.structs.replace(loaded, options=msgspec.structs.replace(loaded.options, **self._given))


def master_configuration(path: Path | None, given: Mapping[str, Any] | None = None) -> Configuration[MasterOptions]:
    """Return the configuration of the master on this machine, or of a file.  Raises InvalidSetting."""
    return Configuration(lambda: load_master(path), given)


def minion_configuration(path: Path | None, given: Mapping[str, Any] | None = None) -> Configuration[MinionOptions]:
    """Return the configuration of the minion on this machine, or of a file.  Raises InvalidSetting."""
    return Configuration(lambda: load_minion(path), given)


def part_configuration(path: Path | None, given: Mapping[str, Any] | None = None) -> Configuration[MasterOptions]:
    """Return the configuration of a part of a master.  Raises InvalidSetting.

    `path`: the main file of the master, which need not be there where it is the usual one, as for the master itself; None:
    the part runs alone, and what is not given has its default.
    """
    if path is None:
        return Configuration(lambda: load(MasterOptions, Path(os.devnull), required=False), given)
    found = master_configuration(None if path == usual_file("master") else path, given)
    found.is_part = True
    return found


def report(loaded: Loaded[Any]) -> None:
    """Log what is strange in the files."""
    for notice in loaded.notices:
        logger.warning("%s", notice)
