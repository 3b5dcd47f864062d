"""Perms: what somebody may run, as `external_auth` of the master's file says it.  Pure.

.*, test.*, test.ping           functions on any minion; a regular expression for the whole name
{'web*': ['test.*']}            functions on those minions; a compound target
@runner, @wheel, @jobs          all runners, all wheel functions, the runners about jobs
{'@runner': ['jobs.*']}         some of them
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

Covers = Callable[[str], bool]
"""Says of a target in the perms whether all minions of the job fit it."""


def may_run(perms: Sequence[Any], functions: Iterable[str], covers: Covers) -> bool:
    """Say whether all these functions may be run on the minions of a job."""
    return all(_may_run(perms, function, covers) for function in functions)


def _may_run(perms: Sequence[Any], function: str, covers: Covers) -> bool:
    for perm in perms:
        if isinstance(perm, str):
            if not perm.startswith("@") and _fits(perm, function):
                return True
        elif isinstance(perm, Mapping):
            for target, functions in cast("Mapping[str, Any]", perm).items():
                if (
                    not target.startswith("@")
                    and any(_fits(each, function) for each in _listed(functions))
                    and covers(target)
                ):
                    return True
    return False


def names_minions(perms: Sequence[Any]) -> bool:
    """Say whether any of them is for some minions only."""
    return any(isinstance(perm, Mapping) for perm in perms)


def may_call(perms: Sequence[Any], kind: str, function: str) -> bool:
    """Say whether a function of a kind, `runner` or `wheel`, may be called."""
    for perm in perms:
        if isinstance(perm, str):
            if perm == f"@{kind}" or (perm == "@jobs" and kind == "runner" and function.startswith("jobs.")):
                return True
        elif isinstance(perm, Mapping):
            some = _listed(cast("Mapping[str, Any]", perm).get(f"@{kind}"))
            if any(_fits(each, function) for each in some):
                return True
    return False


def _listed(functions: Any) -> list[str]:
    return (
        [each for each in cast("list[Any]", functions) if isinstance(each, str)] if isinstance(functions, list) else []
    )


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None  # It stands in the master's file, and lets nobody do anything.


def _fits(pattern: str, function: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is not None and compiled.fullmatch(function) is not None
