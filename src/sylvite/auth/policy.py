"""Policy: may this peer publish or subscribe to this tag, and how safe must an event be before it is acknowledged.

Allow lists only. The user that runs the broker (and root) may do everything but write `sylvite/…`, which is the
broker's own. Others may do what a rule names. A pattern opens `salt/…` only if it says so literally: `*` does not.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from sylvite.auth.peer import Peer
from sylvite.core.level import Level
from sylvite.core.pattern import parse_pattern
from sylvite.errors import InvalidSetting

OWN_PREFIX = "sylvite/"
SALT_PREFIX = "salt/"
_CACHE_MAX = 16_384

Matcher = Callable[[str], bool]
T = TypeVar("T")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some users may do.  `users` and `groups` are names or numbers; patterns as on the command line."""

    users: tuple[str | int, ...] = ()
    groups: tuple[str | int, ...] = ()
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


class LevelRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For tags that match: the level unless the publisher asks for another, and the least it may ask for."""

    tags: tuple[str, ...]
    level: str = "synced"
    at_least: str | None = None


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: tuple[Rule, ...] = ()
    levels: tuple[LevelRule, ...] = ()
    level: str = "synced"
    at_least: str = "none"


class Remembered(Generic[T]):
    """What was found for a tag before is not worked out again."""

    __slots__ = ("_find", "_known")

    def __init__(self, find: Callable[[str], T]) -> None:
        self._find = find
        self._known: dict[str, T] = {}

    def __call__(self, tag: str) -> T:
        try:
            return self._known[tag]
        except KeyError:
            pass  # Not seen yet.
        found = self._find(tag)
        if len(self._known) >= _CACHE_MAX:
            self._known.clear()
        self._known[tag] = found
        return found


class Access:
    """What one peer may do.  `publish` and `subscribe` are patterns; None allows everything."""

    def __init__(self, publish: Sequence[str] | None, subscribe: Sequence[str] | None) -> None:
        self.reads_all = subscribe is None
        may_publish = _always if publish is None else _any_of(publish)
        self.may_publish = Remembered(lambda tag: not tag.startswith(OWN_PREFIX) and may_publish(tag))
        self.may_subscribe = _always if subscribe is None else Remembered(_any_of(subscribe))


def _always(tag: str) -> bool:
    del tag
    return True


def _any_of(patterns: Sequence[str]) -> Matcher:
    plain = _matcher([pattern for pattern in patterns if not pattern.startswith(SALT_PREFIX)])
    salt = _matcher([pattern for pattern in patterns if pattern.startswith(SALT_PREFIX)])

    def matches(tag: str) -> bool:
        return (salt if tag.startswith(SALT_PREFIX) else plain)(tag)

    return matches


def _matcher(patterns: Sequence[str]) -> Matcher:
    """Raises InvalidPattern."""
    matchers = [parse_pattern(pattern).matcher() for pattern in patterns]
    return lambda tag: any(match(tag) for match in matchers)


class Policy:
    """The settings, read.

    Raises:
        InvalidSetting, InvalidPattern: from the constructor: an unknown user, group or level; a pattern.
    """

    def __init__(self, settings: PolicySettings) -> None:
        self._rules = [(_users_of(rule), rule) for rule in settings.rules]
        for rule in settings.rules:
            Access(rule.publish, rule.subscribe)
        levels = [(_matcher(rule.tags), _pair(rule.level, rule.at_least)) for rule in settings.levels]
        default = _pair(settings.level, settings.at_least)
        self.levels: Callable[[str], tuple[Level, Level]] = Remembered(
            lambda tag: next((pair for match, pair in levels if match(tag)), default)
        )
        """From a tag to its level, and the least that a publisher may ask for instead."""

    @property
    def is_open_to_others(self) -> bool:
        return bool(self._rules)

    def access(self, peer: Peer) -> Access | None:
        """Return what this peer may do, or None for one that no rule names."""
        if peer.is_owner:
            return Access(None, None)
        matching = [rule for (uids, gids), rule in self._rules if peer.uid in uids or peer.gids & gids]
        if not matching:
            return None
        return Access(
            [pattern for rule in matching for pattern in rule.publish],
            [pattern for rule in matching for pattern in rule.subscribe],
        )


def _pair(level: str, at_least: str | None) -> tuple[Level, Level]:
    pair = Level.named(level), Level.named(at_least or level)
    if pair[1] > pair[0]:
        raise InvalidSetting("policy: at_least", at_least, f"is more than the level, {level}, that goes without saying")
    return pair


def _users_of(rule: Rule) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(map(_uid, rule.users)), frozenset(map(_gid, rule.groups))


def _uid(user: str | int) -> int:
    try:
        return user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise InvalidSetting("policy: users", user, "is not a user of this system") from None


def _gid(group: str | int) -> int:
    try:
        return group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise InvalidSetting("policy: groups", group, "is not a group of this system") from None
