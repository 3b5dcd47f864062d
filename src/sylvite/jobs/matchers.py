"""Matchers: does a minion fit one condition of a target.

    glob        its id, by a shell pattern for the whole of it
    pcre        its id, by a regular expression that matches at the beginning
    list        its id is one of these
    grain       KEY:PATTERN, a shell pattern for what the grain holds
    grain_pcre  KEY:REGEX, a regular expression at the beginning of what it holds
    ipcidr      an address, or a network, that one of its grains `ipv4` and `ipv6` is or lies in

In grains, KEY may lead through maps (`ec2_tags:environment:*production*`). Of a list one item has to match, of a map
one key.  Where the value itself holds the delimiter each place to cut is tried, from the left, as Salt does.

Targets come from whoever may start jobs, and grains from minions: patterns are bounded when they are read, and what a
match does with grains is paid for.  A target that would take too long on a minion does not match it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from sylvite.core.environment import STEPS_MAX, TooManySteps
from sylvite.core.grammar import MATCHED_CHARACTERS_MAX, PATTERN_STEPS_MAX
from sylvite.core.pattern import PATTERN_CHARACTERS_MAX, compile_glob, glob_steps, read_regex
from sylvite.errors import InvalidPattern

ID_CHARACTERS = 256
"""No id is longer, nor any address: what a pattern may cost is worked out for so many."""
IDS_MAX = 100_000
_MATCHED_IN_STEP = 16
"""So many steps of matching a pattern are done in the time of one step of going through grains."""


class Candidate(msgspec.Struct):
    """A minion, and what may still be spent on it.  `id` is what the channel says, never what a grain says."""

    id: str
    grains: Mapping[str, Any]
    steps_left: int = STEPS_MAX

    def take(self, steps: int) -> None:
        """Pay for steps.  Raises TooManySteps."""
        self.steps_left -= steps
        if self.steps_left < 0:
            raise TooManySteps

    def grain(self, name: str) -> object:
        """Return a grain; None where there is none."""
        return self.id if name == "id" else self.grains.get(name)


Matcher = Callable[[Candidate], bool]


class Condition(msgspec.Struct, frozen=True):
    """A matcher with what is known of it: its cost, whether it looks at grains, the ids that it lists."""

    matches: Matcher
    steps: int = 1
    needs_grains: bool = False
    listed: tuple[str, ...] = ()


def by_glob(pattern: str) -> Condition:
    """Raises InvalidPattern: too long."""
    _check_length(pattern)
    if not any(character in pattern for character in "*?["):
        return Condition(lambda minion: minion.id == pattern)
    match = compile_glob(pattern).match
    return Condition(lambda minion: match(minion.id) is not None, glob_steps(pattern, ID_CHARACTERS))


def by_regex(pattern: str) -> Condition:
    """Raises InvalidPattern: no regular expression, or one that could take long."""
    _check_length(pattern)
    regex = read_regex(pattern, characters=ID_CHARACTERS, steps_max=PATTERN_STEPS_MAX)
    match = regex.compiled.match
    return Condition(lambda minion: match(minion.id) is not None, regex.steps(ID_CHARACTERS))


def by_list(ids: Sequence[str]) -> Condition:
    """Raises InvalidPattern: too many."""
    if len(ids) > IDS_MAX:
        raise InvalidPattern("…", f"a list has at most {IDS_MAX} ids")
    listed = tuple(dict.fromkeys(name for each in ids if (name := each.strip())))
    if not listed:
        raise InvalidPattern(",".join(ids[:3]), "the list is empty")
    known = frozenset(listed)
    return Condition(lambda minion: minion.id in known, listed=listed)


def by_grain(text: str, delimiter: str, *, regex: bool) -> Condition:
    """Raises InvalidPattern: not a key and a pattern, or a pattern that could take long."""
    _check_length(text)
    if not delimiter:
        raise InvalidPattern(text, "the delimiter is empty")
    parts = text.split(delimiter)
    if len(parts) < 2 or not parts[0]:
        raise InvalidPattern(text, f"write the grain and what it holds with {delimiter!r} between: os{delimiter}Debian")
    ways: list[tuple[list[str], _Value]] = []
    steps, unreadable = 0, InvalidPattern(text, "it is empty")
    for cut in range(1, len(parts)):
        try:
            value = _Value(delimiter.join(parts[cut:]), regex=regex)
        except InvalidPattern as error:
            if error.__cause__ is None:
                raise  # It can be read, and could take long.
            # Cut elsewhere it may be one: of P@a:(b:c|d) only the first way is.
            unreadable = error
            continue
        steps += value.steps(MATCHED_CHARACTERS_MAX)
        ways.append((parts[:cut], value))
    if not ways:
        raise unreadable
    if steps > PATTERN_STEPS_MAX:
        raise InvalidPattern(text, f"a match could take {steps:,} steps; use fewer repeats such as .*")

    def matches(minion: Candidate) -> bool:
        return any(_holds(minion, minion.grain(path[0]), path[1:], value) for path, value in ways)

    return Condition(matches, steps, needs_grains=True)


def by_network(text: str) -> Condition:
    """Raises InvalidPattern: neither an address nor a network."""
    _check_length(text)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidPattern(
            text, "write an address or a network: 192.168.1.7, 192.168.1.0/24, 2001:db8::/64"
        ) from None
    grain = f"ipv{network.version}"

    def matches(minion: Candidate) -> bool:
        found = minion.grain(grain)
        addresses = cast("list[object]", found) if isinstance(found, list) else [found]
        minion.take(len(addresses))
        return any(_lies_in(address, network) for address in addresses)

    return Condition(matches, needs_grains=True)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _lies_in(address: object, network: Network) -> bool:
    if not isinstance(address, str) or len(address) > ID_CHARACTERS:
        return False
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False


def _check_length(pattern: str) -> None:
    if not pattern:
        raise InvalidPattern(pattern, "it is empty")
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise InvalidPattern(pattern, f"a pattern has at most {PATTERN_CHARACTERS_MAX} characters")


class _Value:
    """A pattern for what a grain holds: single values and keys are compared as text."""

    def __init__(self, pattern: str, *, regex: bool) -> None:
        """Raises InvalidPattern."""
        self.steps: Callable[[int], int]
        self._match: Callable[[str], re.Match[str] | None]
        if regex:
            found = read_regex(pattern, characters=MATCHED_CHARACTERS_MAX, steps_max=PATTERN_STEPS_MAX)
            self.steps, self._match = found.steps, found.compiled.match
        else:
            self.steps, self._match = (lambda size: glob_steps(pattern, size)), compile_glob(pattern).match
        self.is_anything = not regex and pattern == "*"
        self._prices = [(size, 1 + self.steps(size) // _MATCHED_IN_STEP) for size in (16, 64, 256, 1024)]

    def fits(self, minion: Candidate, value: object) -> bool:
        """Raises TooManySteps."""
        if isinstance(value, bool):
            # YAML and people write true, Python prints True.
            minion.take(2)
            return self._match(str(value)) is not None or self._match(str(value).lower()) is not None
        text = (value if isinstance(value, str) else str(value))[:MATCHED_CHARACTERS_MAX]
        minion.take(next(price for size, price in self._prices if len(text) <= size))
        return self._match(text) is not None


def _holds(minion: Candidate, found: object, path: Sequence[str], value: _Value) -> bool:
    """Say whether what is found at the end of the path fits.  Raises TooManySteps."""
    minion.take(1)
    if isinstance(found, list):
        # Of a list one item is enough; also where the path leads on through them.
        return any(_holds(minion, item, path, value) for item in cast("list[object]", found))
    if isinstance(found, dict):
        held = cast("dict[object, object]", found)
        if path:
            return path[0] in held and _holds(minion, held[path[0]], path[1:], value)
        return any(value.fits(minion, key) for key in held) if held else value.is_anything
    return found is not None and not path and value.fits(minion, found)
