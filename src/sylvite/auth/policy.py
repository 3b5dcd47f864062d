"""Policy: may this peer publish or subscribe to this tag, and how safe must an event be before it is acknowledged.

Allow lists only. The user that runs the broker (and root) may do everything but write `sylvite/…`, which is the
broker's own. Others may do what a rule names. A pattern opens `salt/…` only if it says so literally: `*` does not.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable

import msgspec

from sylvite.auth.peer import Peer
from sylvite.core.level import Level
from sylvite.core.pattern import parse_pattern
from sylvite.errors import InvalidSetting

OWN_PREFIX = "sylvite/"
SALT_PREFIX = "salt/"
_CACHE_MAX = 16_384

Matcher = Callable[[str], bool]


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


class Access:
    """What one peer may do."""

    def __init__(self, publish: Iterable[str] | None, subscribe: Iterable[str] | None) -> None:
        self._publish = None if publish is None else _any_of(publish)
        self._subscribe = None if subscribe is None else _any_of(subscribe)
        self._may_publish: dict[str, bool] = {}
        self._may_subscribe: dict[str, bool] = {}

    @property
    def reads_all(self) -> bool:
        return self._subscribe is None

    def may_publish(self, tag: str) -> bool:
        known = self._may_publish.get(tag)
        if known is None:
            known = not tag.startswith(OWN_PREFIX) and (self._publish is None or self._publish(tag))
            _keep(self._may_publish, tag, known)
        return known

    def may_subscribe(self, tag: str) -> bool:
        if self._subscribe is None:
            return True
        known = self._may_subscribe.get(tag)
        if known is None:
            known = self._subscribe(tag)
            _keep(self._may_subscribe, tag, known)
        return known


def _keep(cache: dict[str, bool], tag: str, value: bool) -> None:
    if len(cache) >= _CACHE_MAX:
        cache.clear()
    cache[tag] = value


def _any_of(patterns: Iterable[str]) -> Matcher:
    plain = [parse_pattern(pattern).matcher() for pattern in patterns if not pattern.startswith(SALT_PREFIX)]
    salt = [parse_pattern(pattern).matcher() for pattern in patterns if pattern.startswith(SALT_PREFIX)]

    def matches(tag: str) -> bool:
        return any(match(tag) for match in (salt if tag.startswith(SALT_PREFIX) else plain))

    return matches


class Policy:
    """The settings, read.

    Raises:
        InvalidSetting, InvalidPattern: from the constructor: an unknown user, group or level; a pattern.
    """

    def __init__(self, settings: PolicySettings) -> None:
        self._rules = [
            (
                frozenset(_uid(user) for user in rule.users),
                frozenset(_gid(group) for group in rule.groups),
                rule.publish,
                rule.subscribe,
            )
            for rule in settings.rules
        ]
        for rule in settings.rules:
            _any_of((*rule.publish, *rule.subscribe))
        self._levels = [
            (_any_level_of(rule.tags), Level.named(rule.level), Level.named(rule.at_least or rule.level))
            for rule in settings.levels
        ]
        self._default = (Level.named(settings.level), Level.named(settings.at_least))
        self._level_of: dict[str, tuple[Level, Level]] = {}

    @property
    def is_open_to_others(self) -> bool:
        return bool(self._rules)

    def access(self, peer: Peer) -> Access | None:
        """Return what this peer may do, or None for one that no rule names."""
        if peer.is_owner:
            return Access(None, None)
        matching = [rule for rule in self._rules if peer.uid in rule[0] or peer.gids & rule[1]]
        if not matching:
            return None
        publish = [pattern for rule in matching for pattern in rule[2]]
        subscribe = [pattern for rule in matching for pattern in rule[3]]
        return Access(publish, subscribe)

    def levels(self, tag: str) -> tuple[Level, Level]:
        """Return the level of a tag, and the least that a publisher may ask for instead."""
        known = self._level_of.get(tag)
        if known is None:
            known = next(((level, least) for match, level, least in self._levels if match(tag)), self._default)
            if len(self._level_of) >= _CACHE_MAX:
                self._level_of.clear()
            self._level_of[tag] = known
        return known


def _any_level_of(patterns: Iterable[str]) -> Matcher:
    matchers = [parse_pattern(pattern).matcher() for pattern in patterns]
    return lambda tag: any(match(tag) for match in matchers)


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
