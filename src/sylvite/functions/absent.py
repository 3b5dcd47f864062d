"""Modules of Salt's whose work is not done here: who calls one of their functions is told so, and what there is instead."""

from __future__ import annotations

_STATES = (
    "There are no states here: events, jobs and functions are. Put what is to be done into functions of your own (docs/functions.md), run steps one "
    "after the other with the runner state.orchestrate, or leave the configuration of machines to a program beside Sylvite"
)
_PILLAR = "There is no pillar here: give a function what it needs as arguments, or put it into the grains of the minion"
_SCHEDULE = "There is no schedule here: a timer of the system can run `sylvite call`, and beacons watch a machine"
_REASONS = {"state": _STATES, "pillar": _PILLAR, "schedule": _SCHEDULE}


def why_absent(name: str) -> str | None:
    """Return what to say of a function that there is not, in Salt's words and ours; None where there is no more to say."""
    reason = _REASONS.get(name.partition(".")[0])
    return None if reason is None else f"'{name}' is not available. {reason}."
