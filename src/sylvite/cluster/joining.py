"""Joining: whether a master may come into a cluster, beside what lint.py says of the servers.

Its user has to be allowed all that it needs, nobody else may have its name, and minions have to know it by the key of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from sylvite.cluster.asking import ask_all
from sylvite.cluster.claim import Claim, Claims, claims_of_all
from sylvite.cluster.connection import USER_INFO, Connection
from sylvite.cluster.dev import Allowed
from sylvite.cluster.lint import Finding
from sylvite.cluster.permissions import allowed_of
from sylvite.cluster.settings import ClusterSettings


class Side(msgspec.Struct, frozen=True):
    """`allow`: these subjects alone; none: all.  `deny`: none of these."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Permissions(msgspec.Struct, frozen=True):
    publish: Side = Side()
    subscribe: Side = Side()


class _User(msgspec.Struct, frozen=True):
    permissions: Permissions = Permissions()


class _Answer(msgspec.Struct, frozen=True):
    data: _User = _User()


async def examine_joining(settings: ClusterSettings, node: str, key: str) -> list[Finding]:
    """Return what keeps a master out.  `key`: the fingerprint of its `master.key`; empty: it has none yet.

    Raises:
        ClusterError: no server can be reached, or they do not answer.
    """
    async with await Connection.open(settings, name="sylvite cluster join") as connection:
        answers = await ask_all(connection, USER_INFO, _Answer, expected=1)
        permissions = answers[0].data.permissions if answers else None
        found = judge_permissions(permissions, allowed_of(settings, node))
        if any(finding.state == "FAIL" for finding in found):
            return found  # What follows would be refused.
        holder = await Claims(connection, node).holder()
        claims = await claims_of_all(connection)
        return [*found, *judge_name(node, holder), *judge_key(key, node, claims)]


def judge_permissions(has: Permissions | None, needed: Allowed) -> list[Finding]:
    """Return what the user of a master may not do.  `has`: what the server says; None: it says nothing."""
    where = "our user"
    if has is None:
        text = "the server does not tell us what we may do"
        return [Finding("permissions", "warn", where, text, f"let it publish to {USER_INFO}")]
    found: list[Finding] = []
    for verb, side, subjects in (
        ("publish", has.publish, needed.publish),
        ("subscribe", has.subscribe, needed.subscribe),
    ):
        if missing := [subject for subject in subjects if not may(side, subject)]:
            text = f"it may not {verb} to {', '.join(missing)}"
            found.append(Finding("permissions", "FAIL", where, text, "add them to its permissions at the servers"))
    return found


def may(side: Side, subject: str) -> bool:
    """Say whether all that a subject stands for is allowed."""
    if side.allow and not any(covers(pattern, subject) for pattern in side.allow):
        return False
    return not any(covers(pattern, subject) or covers(subject, pattern) for pattern in side.deny)


def covers(pattern: str, subject: str) -> bool:
    """Say whether a pattern of NATS stands for all that another one does."""
    ours, theirs = pattern.split("."), subject.split(".")
    for number, word in enumerate(ours):
        if word == ">":
            return len(theirs) > number
        if number >= len(theirs) or theirs[number] == ">" or word not in ("*", theirs[number]):
            return False
    return len(ours) == len(theirs)


def judge_name(node: str, holder: Claim | None) -> list[Finding]:
    if holder is None:
        return []
    text = f"another master is called {node!r} and is there, {holder.where}"
    return [Finding("name", "FAIL", "", text, "choose another name with --node, or stop that one")]


def judge_key(key: str, node: str, claims: Mapping[str, Claim]) -> list[Finding]:
    """Return whether minions that trust the others will trust this master."""
    others = {name: claim for name, claim in claims.items() if name != node and not claim.has_left and claim.key}
    differing = {name: claim for name, claim in others.items() if claim.key != key}
    if not differing:
        return []
    name, claim = next(iter(differing.items()))
    text = f"the others have the key {claim.key} ({_listed(differing)}), and this master {key or 'has none yet'}"
    cure = (
        f"copy master.key and master.pub from the keys of {name}, on {claim.host or 'its machine'}, into the folder keys of this "
        "master's data before it starts"
    )
    return [Finding("key", "FAIL", "master.key", text, cure)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
