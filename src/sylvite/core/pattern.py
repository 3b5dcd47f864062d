"""Filters: which tags a subscription wants, in Salt's match types.

    startswith  the tag begins with the text (Salt's default)
    endswith    it ends with it
    find        it holds it
    regex       a regular expression that matches at the beginning
    fnmatch     a shell pattern for the whole tag; `*` matches `/` too, as in Salt
    exact       it is the text

Several are alternatives; `exclude` (shell patterns, or beginnings) wins over all of them; `where` is a predicate on the
event (core/predicate.py). Filters come from strangers, so what could take long to match is refused.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import msgspec

from sylvite.errors import InvalidPattern

PATTERN_CHARACTERS_MAX = 512
PATTERNS_MAX = 256
OPEN_REPEATS_MAX = 3
"""A tag has at most 256 characters: so many repeats without end cost at most some 10 ms, once for each new tag."""

Matcher = Callable[[str], bool]

# The parse tree of `re` has no public name; reading the syntax a second time ourselves would be worse.
_parser: Any = import_module("re._parser")
_sre: Any = import_module("re._constants")


class Filter(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which events.  Without any of the first six, all tags."""

    startswith: tuple[str, ...] = ()
    endswith: tuple[str, ...] = ()
    find: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    fnmatch: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    where: str | None = None

    def matcher(self) -> Matcher:
        """Return what says whether a tag passes; `where` is not part of it.

        Raises:
            InvalidPattern: one of them cannot be read, or could take too long.
        """
        self._check_size()
        included = self._included()
        if not self.exclude:
            return included
        excluded = parse_patterns(self.exclude).matcher()

        def matches(tag: str) -> bool:
            return included(tag) and not excluded(tag)

        return matches

    def _included(self) -> Matcher:
        parts: list[Matcher] = []
        if self.startswith:
            parts.append(_method(self.startswith, "startswith"))
        if self.endswith:
            parts.append(_method(self.endswith, "endswith"))
        if self.exact:
            parts.append(frozenset(self.exact).__contains__)
        parts.extend(_holds(text) for text in self.find)
        parts.extend(_matches(compile_regex(pattern)) for pattern in self.regex)
        parts.extend(_matches(compile_glob(pattern)) for pattern in self.fnmatch)
        if not parts:
            return _always
        if len(parts) == 1:
            return parts[0]

        def matches(tag: str) -> bool:
            return any(part(tag) for part in parts)

        return matches

    def _check_size(self) -> None:
        fields = (self.startswith, self.endswith, self.find, self.regex, self.fnmatch, self.exact, self.exclude)
        if sum(map(len, fields)) > PATTERNS_MAX:
            raise InvalidPattern("…", f"a filter has at most {PATTERNS_MAX} patterns")
        for patterns in fields:
            for pattern in patterns:
                if len(pattern) > PATTERN_CHARACTERS_MAX:
                    raise InvalidPattern(pattern, f"a pattern has at most {PATTERN_CHARACTERS_MAX} characters")

    def prefixes(self) -> tuple[str, ...] | None:
        """Return the beginnings if they are all that this filter asks of a tag, so that a router can look them up."""
        rest = (self.endswith, self.find, self.regex, self.fnmatch, self.exact, self.exclude)
        return self.startswith if self.startswith and not any(rest) else None


def parse_pattern(text: str) -> Filter:
    """Read a pattern as people type it: with `*`, `?` or `[` a shell pattern, else a beginning."""
    return Filter(fnmatch=(text,)) if _is_glob(text) else Filter(startswith=(text,))


def parse_patterns(texts: Iterable[str], *, exclude: Iterable[str] = (), where: str | None = None) -> Filter:
    """Read several; any of them may match."""
    listed = tuple(texts)
    return Filter(
        startswith=tuple(text for text in listed if not _is_glob(text)),
        fnmatch=tuple(text for text in listed if _is_glob(text)),
        exclude=tuple(exclude),
        where=where,
    )


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _always(tag: str) -> bool:
    del tag
    return True


def _method(texts: tuple[str, ...], name: str) -> Matcher:
    if name == "startswith":
        return lambda tag: tag.startswith(texts)
    return lambda tag: tag.endswith(texts)


def _holds(text: str) -> Matcher:
    return lambda tag: text in tag


def _matches(compiled: re.Pattern[str]) -> Matcher:
    match = compiled.match
    return lambda tag: match(tag) is not None


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return a shell pattern as a regular expression.

    From Python 3.11 on, fnmatch writes each `*` as an atomic group: matching is linear in tag times pattern.
    """
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return re.compile(fnmatch.translate(pattern))


def compile_regex(pattern: str, *, open_repeats_max: int = OPEN_REPEATS_MAX) -> re.Pattern[str]:
    """Return a regular expression that cannot run away.

    Python's matcher tries again and again, and cannot be stopped: so nothing that repeats may stand in something
    that repeats, references and look-around are refused, and there are few repeats without end.

    Raises:
        InvalidPattern.
    """
    try:
        tree = _parser.parse(pattern)
        open_repeats = _count_open_repeats(tree, pattern, inside_repeat=False)
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidPattern(pattern, f"it is no regular expression: {error}") from error
    if open_repeats > open_repeats_max:
        raise InvalidPattern(pattern, f"it has {open_repeats} repeats without end; {open_repeats_max} are allowed")
    return compiled


def _count_open_repeats(tree: Any, pattern: str, *, inside_repeat: bool) -> int:
    count = 0
    for operation, argument in tree:
        if operation in (_sre.MAX_REPEAT, _sre.MIN_REPEAT, _sre.POSSESSIVE_REPEAT):
            _, most, inner = argument
            if inside_repeat and most > 1:
                raise InvalidPattern(pattern, "a repeat inside of a repeat could take for ever")
            count += most > 16
            count += _count_open_repeats(inner, pattern, inside_repeat=inside_repeat or most > 1)
        elif operation is _sre.SUBPATTERN:
            count += _count_open_repeats(argument[3], pattern, inside_repeat=inside_repeat)
        elif operation is _sre.ATOMIC_GROUP:
            count += _count_open_repeats(argument, pattern, inside_repeat=inside_repeat)
        elif operation is _sre.BRANCH:
            if inside_repeat:
                raise InvalidPattern(
                    pattern, "alternatives inside of a repeat could take for ever; use [...] for characters"
                )
            count += max(_count_open_repeats(branch, pattern, inside_repeat=False) for branch in argument[1])
        elif operation in (_sre.GROUPREF, _sre.GROUPREF_EXISTS, _sre.ASSERT, _sre.ASSERT_NOT):
            raise InvalidPattern(pattern, "references to groups and look-around are not allowed")
    return count
