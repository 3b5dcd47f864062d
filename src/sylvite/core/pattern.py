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
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import msgspec

from sylvite.core.tag import TAG_BYTES_MAX
from sylvite.errors import InvalidPattern

PATTERN_CHARACTERS_MAX = 512
PATTERNS_MAX = 256
STEPS_MAX = 10_000_000
"""What matching all regular expressions and shell patterns of a filter may cost: at most some 100 ms, once for each new tag."""

Matcher = Callable[[str], bool]
Patterns = Annotated[tuple[str, ...], msgspec.Meta(max_length=PATTERNS_MAX)]
"""The limit stands here too, so that of a longer list in a message nothing is decoded."""

# The parse tree of `re` has no public name; reading the syntax a second time ourselves would be worse.
_parser: Any = import_module("re._parser")
_sre: Any = import_module("re._constants")


class Filter(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which events.  Without any of the first six, all tags."""

    startswith: Patterns = ()
    endswith: Patterns = ()
    find: Patterns = ()
    regex: Patterns = ()
    fnmatch: Patterns = ()
    exact: Patterns = ()
    exclude: Patterns = ()
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
            parts.append(_begins(self.startswith))
        if self.endswith:
            parts.append(_ends(self.endswith))
        if self.exact:
            parts.append(frozenset(self.exact).__contains__)
        parts.extend(_holds(text) for text in self.find)
        parts.extend(self._compiled())
        if not parts:
            return _always
        if len(parts) == 1:
            return parts[0]

        def matches(tag: str) -> bool:
            return any(part(tag) for part in parts)

        return matches

    def _compiled(self) -> list[Matcher]:
        regexes = [read_regex(pattern) for pattern in self.regex]
        steps = sum(regex.steps(TAG_BYTES_MAX) for regex in regexes) + sum(map(glob_steps, self.fnmatch))
        if steps > STEPS_MAX:
            raise InvalidPattern("…", f"all of a filter could take {steps:,} steps together; use several filters")
        return [_matches(regex.compiled) for regex in regexes] + [_matches(compile_glob(glob)) for glob in self.fnmatch]

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
    return parse_patterns((text,))


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


def _begins(texts: tuple[str, ...]) -> Matcher:
    return lambda tag: tag.startswith(texts)


def _ends(texts: tuple[str, ...]) -> Matcher:
    return lambda tag: tag.endswith(texts)


def _holds(text: str) -> Matcher:
    return lambda tag: text in tag


def _matches(compiled: re.Pattern[str]) -> Matcher:
    match = compiled.match
    return lambda tag: match(tag) is not None


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return a shell pattern as a regular expression.

    From Python 3.11 on, fnmatch writes each `*` as an atomic group: a match costs at most `glob_steps`.
    """
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return re.compile(fnmatch.translate(pattern))


def glob_steps(pattern: str, characters: int = TAG_BYTES_MAX) -> int:
    """Return how many steps a match of this shell pattern may take on a text of so many characters."""
    return (len(pattern) + 1) * characters


def compile_regex(pattern: str) -> re.Pattern[str]:
    """Return a regular expression that cannot run away on a tag.  Raises InvalidPattern."""
    return read_regex(pattern).compiled


class Regex(NamedTuple):
    """A regular expression and what it may cost, worked out from its parse tree."""

    compiled: re.Pattern[str]
    tree: Any

    def steps(self, characters: int) -> int:
        """Return how many steps a match may take on a text of so many characters; at most `_ENDLESS`."""
        return _cost(self.tree, characters // 2).own


def read_regex(pattern: str, *, characters: int = TAG_BYTES_MAX, steps_max: int = STEPS_MAX) -> Regex:
    """Read a regular expression for texts of so many characters.

    Python's matcher tries each way to match, one after the other, and cannot be stopped: so the ways are counted
    beforehand.  References to groups and look-around, whose ways we do not count, are refused.

    Raises:
        InvalidPattern: it cannot be read, or a match could take more than `steps_max` steps.
    """
    try:
        with warnings.catch_warnings():
            # What `re` warns of (`[[a]`, say) it may read otherwise one day.
            warnings.simplefilter("error")
            found = Regex(re.compile(pattern), _parser.parse(pattern))
            steps = found.steps(characters)
    except (re.error, Warning, ValueError, OverflowError, RecursionError) as error:
        raise InvalidPattern(pattern, f"it is no regular expression: {error}") from error
    except _NotCounted:
        raise InvalidPattern(pattern, "references to groups and look-around are not allowed") from None
    if steps > steps_max:
        many = "for ever" if steps == _ENDLESS else f"{steps:,} steps"
        raise InvalidPattern(
            pattern, f"a match could take {many}; use fewer repeats such as .* and alternatives such as (a|b)"
        )
    return found


class _NotCounted(Exception):
    """The tree holds what has no bound on its steps."""


_ENDLESS = 2**62
_GROUP_STEPS = 3
"""What going into a group and out of it costs, measured in characters compared."""
_GROUPS = (_sre.SUBPATTERN, _sre.MAX_REPEAT, _sre.MIN_REPEAT, _sre.POSSESSIVE_REPEAT, _sre.BRANCH, _sre.ATOMIC_GROUP)


class _Cost(NamedTuple):
    """`own`: steps inside of this part, over all ways through it.  `ways`: how often what follows may be tried."""

    own: int
    ways: int


def _cost(tree: Any, repeats_max: int) -> _Cost:
    """Return the cost of one part after the other.

    Of a repeat, each count is a way. One without end counts as `repeats_max`, half the length of the text: two of them
    have to share it.
    """
    own, ways = 0, 1
    for operation, argument in tree:
        part = _cost_of(operation, argument, repeats_max)
        own, ways = min(own + ways * part.own, _ENDLESS), min(ways * part.ways, _ENDLESS)
    return _Cost(own, ways)


def _cost_of(operation: Any, argument: Any, repeats_max: int) -> _Cost:
    if operation in (_sre.MAX_REPEAT, _sre.MIN_REPEAT, _sre.POSSESSIVE_REPEAT):
        least, most, tree = argument
        inner = _cost(tree, repeats_max)
        if len(tree) != 1 or tree[0][0] in _GROUPS:
            inner = _Cost(inner.own + _GROUP_STEPS, inner.ways)
        found = _repeated(inner, least, min(most, max(least, repeats_max)))
        return _Cost(found.own, 1) if operation is _sre.POSSESSIVE_REPEAT else found
    if operation is _sre.SUBPATTERN:
        inner = _cost(argument[3], repeats_max)
        return _Cost(inner.own + _GROUP_STEPS, inner.ways)
    if operation is _sre.ATOMIC_GROUP:
        inner = _cost(argument, repeats_max)
        return _Cost(inner.own + inner.ways, 1)
    if operation is _sre.BRANCH:
        branches = [_cost(branch, repeats_max) for branch in argument[1]]
        return _Cost(sum(branch.own + 1 for branch in branches), sum(branch.ways for branch in branches))
    if operation is _sre.IN:
        # Of characters beyond the first 65,536 there is no table: one after the other is compared.
        rare = any(kind in (_sre.LITERAL, _sre.RANGE) and _last(value) > 0xFFFF for kind, value in argument)
        return _Cost(len(argument) if rare else 1, 1)
    if operation in (_sre.GROUPREF, _sre.GROUPREF_EXISTS, _sre.ASSERT, _sre.ASSERT_NOT):
        raise _NotCounted
    return _Cost(1, 1)


def _last(value: int | tuple[int, int]) -> int:
    return value if isinstance(value, int) else value[1]


def _repeated(inner: _Cost, least: int, most: int) -> _Cost:
    if inner.ways == 1:
        return _Cost(most * inner.own, most - least + 1)
    if most > _ENDLESS.bit_length():
        return _Cost(_ENDLESS, _ENDLESS)
    # The ways through n of them in a row are ways ** n.
    tried = [inner.ways**count for count in range(most + 1)]
    return _Cost(inner.own * sum(tried[:-1]), sum(tried[least:]))
