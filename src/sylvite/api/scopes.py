"""Scopes: what a token lets its holder do.  Pure.

A scope is a verb, and for some verbs a pattern behind it: of tags, `events:read:myco/**`, or of functions, `jobs:run:test.*`.
Patterns are whole names, in which a segment `*` stands for any one segment, and `**` at the end for whatever comes.  No regular
expressions: they come from strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sylvite.auth.policy import OWN_PREFIX, SALT_PREFIX, Remembered
from sylvite.core.tag import TAG_BYTES_MAX
from sylvite.errors import InvalidInput

EVERYTHING = "**"
SCOPES_MAX = 64


class Verb(NamedTuple):
    """`separator`: of the segments of the pattern behind it; empty: it stands alone.  `example`: of such a pattern."""

    about: str
    separator: str = ""
    example: str = ""

    @property
    def what(self) -> str:
        return "tags" if self.separator == "/" else "functions"


_TAGS, _FUNCTIONS = ("/", "myco/**"), (".", "test.*")
VERBS: Mapping[str, Verb] = {
    "events:read": Verb("See events with such tags, live and from history.", *_TAGS),
    "events:write": Verb("Publish events with such tags.", *_TAGS),
    "jobs:read": Verb("See jobs, and what minions have returned."),
    "jobs:run": Verb("Run such functions, on any minions, and end their jobs.", *_FUNCTIONS),
    "keys:read": Verb("See the keys of minions."),
    "keys:write": Verb("Accept, reject, revoke and delete keys of minions."),
    "log:read": Verb("See how the log is: its segments, its retention."),
    "minions:read": Verb("See which minions there are, who is here, and their grains."),
    "status:read": Verb("See how the bus is: its log, who is connected, who reads, and figures."),
    "tokens:admin": Verb("Make tokens, which can do no more than this one; list and revoke all."),
}
"""Every verb of the HTTP interface; a scope with another one is refused when it is written, not when it is used."""


class InvalidScope(InvalidInput):
    code = "invalid_scope"

    def __init__(self, scope: str, reason: str) -> None:
        super().__init__(f"scope {scope[:120]!r} is not valid: {reason}")
        self.scope, self.reason = scope, reason


class Scope(NamedTuple):
    verb: str
    pattern: str = ""

    def __str__(self) -> str:
        return f"{self.verb}:{self.pattern}" if self.pattern else self.verb

    def covers(self, other: Scope) -> bool:
        """Say whether whoever has this one may do all that the other one lets him."""
        return self.verb == other.verb and _covers(_segments(self), _segments(other))


def parse_scope(text: str) -> Scope:
    """Raises InvalidScope: an unknown verb, or a pattern that is none."""
    first, _, rest = text.partition(":")
    second, colon, pattern = rest.partition(":")
    verb = f"{first}:{second}"
    known = VERBS.get(verb)
    if known is None:
        raise InvalidScope(text, f"there are {', '.join(VERBS)}")
    if not known.separator:
        if colon:
            raise InvalidScope(text, f"{verb} stands alone")
        return Scope(verb)
    if not pattern:
        raise InvalidScope(text, f"a pattern of {known.what} belongs behind it, such as {verb}:{known.example}")
    if len(pattern.encode()) > TAG_BYTES_MAX:
        raise InvalidScope(text, f"a pattern has at most {TAG_BYTES_MAX} bytes")
    *before, last = pattern.split(known.separator)
    for segment in before:
        if "*" in segment and segment != "*":
            raise InvalidScope(text, "* stands for a whole segment, and ** at the end for all that comes")
    if "*" in last and last not in ("*", "**"):
        raise InvalidScope(text, "* stands for a whole segment, and ** at the end for all that comes")
    return Scope(verb, pattern)


class Grant:
    """What somebody may do, of all his scopes.  What was found for a tag is remembered."""

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self.scopes = tuple(scopes)
        self._verbs = frozenset(scope.verb for scope in self.scopes)
        self._reads = self._remembered("events:read", lambda _tag, _pattern: True)
        self._writes = self._remembered("events:write", _may_write)
        self._runs = self._remembered("jobs:run", lambda _function, _pattern: True)

    def allows(self, verb: str) -> bool:
        """Say whether it has the verb; of one with a pattern, for anything at all."""
        return verb in self._verbs

    def may_read(self, tag: str) -> bool:
        return self._reads(tag)

    def may_write(self, tag: str) -> bool:
        """Say whether an event with this tag may be published.

        What is Salt's own, only where a pattern says so literally; what is the broker's own, never.
        """
        return self._writes(tag)

    def may_run(self, function: str) -> bool:
        """Say whether a function may be run on minions."""
        return self._runs(function)

    def lacks(self, wanted: Iterable[Scope]) -> list[Scope]:
        """Return which of those it does not cover: nobody hands on what he has not."""
        return [scope for scope in wanted if not any(own.covers(scope) for own in self.scopes)]

    def _remembered(self, verb: str, also: Callable[[str, str], bool]) -> Remembered[bool]:
        separator = VERBS[verb].separator
        patterns = [(scope.pattern, _segments(scope)) for scope in self.scopes if scope.verb == verb]
        return Remembered(
            lambda name: any(_fits(parts, name.split(separator)) and also(name, pattern) for pattern, parts in patterns)
        )


def _segments(scope: Scope) -> list[str]:
    return scope.pattern.split(VERBS[scope.verb].separator or None) or [""]


def _may_write(tag: str, pattern: str) -> bool:
    if tag.startswith(OWN_PREFIX):
        return False
    return not tag.startswith(SALT_PREFIX) or pattern.startswith(SALT_PREFIX)


def _fits(pattern: list[str], tag: list[str]) -> bool:
    if pattern[-1] == EVERYTHING:
        pattern = pattern[:-1]
        if len(tag) <= len(pattern):
            return False
        tag = tag[: len(pattern)]
    return len(pattern) == len(tag) and all(one in ("*", two) for one, two in zip(pattern, tag, strict=True))


def _covers(pattern: list[str], other: list[str]) -> bool:
    """Say whether each tag that fits the other pattern fits this one."""
    if pattern[-1] == EVERYTHING:
        pattern = pattern[:-1]
        return len(other) > len(pattern) and _covers_each(pattern, other[: len(pattern)])
    return other[-1] != EVERYTHING and len(pattern) == len(other) and _covers_each(pattern, other)


def _covers_each(pattern: list[str], other: list[str]) -> bool:
    return all(one == "*" or one == two for one, two in zip(pattern, other, strict=True))
