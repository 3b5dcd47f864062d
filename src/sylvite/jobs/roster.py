"""Roster: the minions of a master, as its files say: whose key is accepted, what their grains are, who is here.

In a cluster those that are with another master are among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sylvite.auth.keyring import Keyring
from sylvite.jobs.known_minions import read_known
from sylvite.jobs.targets import Target


class Minions(msgspec.Struct, frozen=True):
    """The minions at one moment.

    `accepted`: the ids whose keys count; sorted.  `grains`: of those that have sent any; empty where nobody asked for
    them.  `present`: who is here; None where that is not known.
    """

    accepted: list[str]
    grains: Mapping[str, Mapping[str, Any]] = {}
    present: frozenset[str] | None = None

    def expected(self, target: Target) -> list[str]:
        """Return whom a job with this target is for; sorted.

        A minion whose grains are not known decides for itself whether it is meant, as long as it is here: only then can it.
        """
        nothing: Mapping[str, Any] = {}
        found: list[str] = []
        for minion in self.accepted:
            grains = self.grains.get(minion)
            if grains is None and target.needs_grains:
                if self.present is not None and minion in self.present:
                    found.append(minion)
            elif target.matches(minion, nothing if grains is None else grains):
                found.append(minion)
        return found

    def missing(self, target: Target) -> list[str]:
        """Return those that the target names and that are not there; in its order."""
        accepted = set(self.accepted)
        return [minion for minion in dict.fromkeys(target.listed) if minion not in accepted]


class Roster:
    """Reads the files.  Every call opens them anew: threads may share one."""

    def __init__(self, keys: Path, minions: Path) -> None:
        """`keys`: the folder of the keyring.  `minions`: the file of jobs/minions.py."""
        self._keys, self._minions = keys, minions

    def read(self, *, with_grains: bool) -> Minions:
        """Return the minions as they are now.

        Raises:
            InvalidSetting: the folder of the keys is not there, or is another user's.
            KeyringFailed, JobStoreFailed, ...: a file cannot be used.
        """
        with Keyring.open(self._keys) as keyring:
            accepted = keyring.accepted_ids()
        if not self._minions.exists():
            return Minions(accepted)
        with read_known(self._minions) as reader:
            grains = reader.grains() if with_grains else {}
            return Minions(accepted, grains, frozenset(reader.present()))

    def present(self) -> frozenset[str] | None:
        """Return who is here; None where that is not known.  Raises: as `read`."""
        if not self._minions.exists():
            return None
        with read_known(self._minions) as reader:
            return frozenset(reader.present())
