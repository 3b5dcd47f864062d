"""Targets: which minions a job is for, in Salt's target types.

A target is read once and then asked for each minion: by the master, which works out whom it expects an answer from,
and by the minion, which decides for itself.  The conditions: jobs/matchers.py; compound targets: jobs/compound.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sylvite.core.environment import TooManySteps
from sylvite.errors import InvalidPattern, InvalidTarget
from sylvite.jobs.compound import Nodegroups, parse_compound, parse_nodegroup
from sylvite.jobs.matchers import (
    ID_CHARACTERS,
    Candidate,
    Condition,
    by_glob,
    by_grain,
    by_list,
    by_network,
    by_regex,
)

DELIMITER = ":"
NO_NODEGROUPS: Nodegroups = {}
_UNRESOLVED = {
    "pillar": "there is no pillar here; use grain",
    "pillar_pcre": "there is no pillar here; use grain_pcre",
    "pillar_exact": "there is no pillar here; use grain",
    "range": "ranges need a range server, which is not used here; use list or nodegroup",
}


class Target:
    """Which minions.  Made by `parse_target`.

    `tgt` and `tgt_type` are what a minion is sent: nodegroups, which only the master knows, are replaced in them.
    `listed`: the ids that a target of type `list` names, whether there are such minions or not.
    """

    __slots__ = ("_condition", "listed", "needs_grains", "tgt", "tgt_type")

    def __init__(self, tgt: str | Sequence[str], tgt_type: str, condition: Condition) -> None:
        self.tgt, self.tgt_type = tgt, tgt_type
        self._condition = condition
        self.listed = condition.listed
        self.needs_grains = condition.needs_grains

    def matches(self, minion_id: str, grains: Mapping[str, Any]) -> bool:
        """Say whether the job is for this minion.

        False too where finding out would take too long: grains come from minions, and the others must not wait.
        """
        if len(minion_id) > ID_CHARACTERS:
            return False
        try:
            return self._condition.matches(Candidate(minion_id, grains))
        except (TooManySteps, RecursionError):
            return False

    def choose(self, minions: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Return the ids of those, given with their grains, that the job is for; sorted."""
        return sorted(minion_id for minion_id, grains in minions if self.matches(minion_id, grains))

    def __repr__(self) -> str:
        return f"Target({self.tgt!r}, {self.tgt_type!r})"


def parse_target(
    tgt: str | Sequence[str],
    tgt_type: str = "glob",
    *,
    delimiter: str = DELIMITER,
    nodegroups: Nodegroups = NO_NODEGROUPS,
) -> Target:
    """Read a target as people and programs give it.

    `tgt` may be a list for the types `list` (ids) and `compound` (words).  `delimiter`: between the parts of a grain.

    Raises:
        InvalidTarget: it cannot be read, or could take too long to match; the error points at the place.
    """
    match tgt_type:
        case "compound":
            compound = parse_compound(tgt, nodegroups, delimiter)
            as_given = isinstance(tgt, str) and tgt.split() == list(compound.words)
            return Target(tgt if as_given else compound.words, "compound", compound.condition)
        case "nodegroup":
            compound = parse_nodegroup(_one_text(tgt, tgt_type), nodegroups, delimiter)
            return Target(compound.words, "compound", compound.condition)
        case "list":
            ids = tgt.split(",") if isinstance(tgt, str) else tgt
            return Target(tgt, tgt_type, _read(",".join(ids), lambda: by_list(ids)))
        case _:
            text = _one_text(tgt, tgt_type)
            return Target(text, tgt_type, _read(text, _reader(text, tgt_type, delimiter)))


def _reader(text: str, tgt_type: str, delimiter: str) -> Callable[[], Condition]:
    """Raises InvalidTarget: there is no such type."""
    match tgt_type:
        case "glob":
            return lambda: by_glob(text)
        case "pcre":
            return lambda: by_regex(text)
        case "grain":
            return lambda: by_grain(text, delimiter, regex=False)
        case "grain_pcre":
            return lambda: by_grain(text, delimiter, regex=True)
        case "ipcidr":
            return lambda: by_network(text)
        case _:
            known = ", ".join(TARGET_TYPES)
            reason = _UNRESOLVED.get(tgt_type, f"there is no such type of target; there are {known}")
            raise InvalidTarget(text, 0, f"{tgt_type[:60]!r}: {reason}")


TARGET_TYPES = ("glob", "pcre", "list", "grain", "grain_pcre", "compound", "nodegroup", "ipcidr")


def _read(text: str, read: Callable[[], Condition]) -> Condition:
    try:
        return read()
    except InvalidPattern as error:
        raise InvalidTarget(text, 0, error.reason) from error


def _one_text(tgt: str | Sequence[str], tgt_type: str) -> str:
    if isinstance(tgt, str):
        return tgt
    raise InvalidTarget(",".join(tgt), 0, f"a target of type {tgt_type[:60]!r} is one text, not a list")
