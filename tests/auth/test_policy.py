"""Who may publish and subscribe to what, and how safe it has to be."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from sylvite.auth import policy as policy_module
from sylvite.auth.peer import Peer
from sylvite.auth.policy import Access, LevelRule, Policy, PolicySettings, Rule
from sylvite.core.level import Level
from sylvite.errors import InvalidPattern, InvalidSetting

STRANGER = Peer("uid:4001", 4001, frozenset({5001, 5002}))
OWNER = Peer("uid:0", 0, frozenset({0}))
TAGS = ["a/x", "b/x", "salt/job/1", "salt", "sylvite/log/full", "salty"]


def access_of(*rules: Rule, peer: Peer = STRANGER) -> Access | None:
    return Policy(PolicySettings(rules=rules)).access(peer)


def allowed(*rules: Rule) -> tuple[list[str], list[str]]:
    """Return the tags that a stranger may publish, and those it may subscribe to."""
    access = access_of(*rules)
    assert access is not None
    return [tag for tag in TAGS if access.may_publish(tag)], [tag for tag in TAGS if access.may_subscribe(tag)]


def test_the_owner_may_do_everything_but_speak_for_the_broker() -> None:
    for peer in (OWNER, Peer("", os.geteuid(), frozenset())):
        access = access_of(peer=peer)
        assert access is not None
        assert access.reads_all
        assert [access.may_publish(tag) for tag in TAGS] == [True, True, True, True, False, True]
        assert all(access.may_subscribe(tag) for tag in TAGS)


def test_whom_no_rule_names_may_nothing() -> None:
    assert access_of() is None
    assert access_of(Rule(users=(4002,), groups=(5003,), publish=("*",), subscribe=("*",))) is None
    assert access_of(Rule(publish=("*",), subscribe=("*",))) is None


@pytest.mark.parametrize("rule", [Rule(users=(4001,)), Rule(groups=(5002,)), Rule(users=(1, 4001), groups=(1,))])
def test_a_rule_without_patterns_allows_nothing(rule: Rule) -> None:
    assert allowed(rule) == ([], [])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/", ["a/x"]),
        ("?/x", ["a/x", "b/x"]),
        ("*", ["a/x", "b/x", "salt", "salty"]),
        ("", ["a/x", "b/x", "salt", "salty"]),
        ("salt", ["salt", "salty"]),
        ("s*", ["salt", "salty"]),
        ("[s]alt/*", []),
        ("salt/", ["salt/job/1"]),
        ("salt/*", ["salt/job/1"]),
        ("salt/job/2", []),
    ],
)
def test_a_pattern_opens_salt_only_if_it_says_so(pattern: str, expected: list[str]) -> None:
    """And what is the broker's own nobody publishes."""
    found, _ = allowed(Rule(users=(4001,), publish=(pattern,)))
    assert found == expected


def test_the_rights_of_all_rules_that_name_a_peer_add_up() -> None:
    rules = (
        Rule(users=(4001,), publish=("a/",), subscribe=("sylvite/",)),
        Rule(groups=(5001,), publish=("salt/*",)),
        Rule(users=(4002,), publish=("b/",)),
    )
    assert allowed(*rules) == (["a/x", "salt/job/1"], ["sylvite/log/full"])
    access = access_of(*rules)
    assert access is not None
    assert not access.reads_all
    assert Policy(PolicySettings(rules=rules)).is_open_to_others
    assert not Policy(PolicySettings()).is_open_to_others


def test_users_and_groups_have_names_or_numbers() -> None:
    user, group = pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name
    rule = Rule(users=(user,), groups=(group,), subscribe=("a/",))
    assert access_of(rule, peer=Peer("", 4001, frozenset({0}))) is not None
    for wrong in (Rule(users=("no such user",)), Rule(groups=("no such group",))):
        with pytest.raises(InvalidSetting, match="no such"):
            access_of(wrong)


@pytest.mark.parametrize("field", ["publish", "subscribe"])
def test_a_wrong_pattern_is_found_when_the_policy_is_read(field: str) -> None:
    rule = Rule(publish=("x" * 513,)) if field == "publish" else Rule(subscribe=("x" * 513,))
    with pytest.raises(InvalidPattern):
        Policy(PolicySettings(rules=(rule,)))
    with pytest.raises(InvalidPattern):
        Policy(PolicySettings(levels=(LevelRule(tags=("x" * 513,)),)))


def test_the_first_level_rule_that_matches_counts() -> None:
    policy = Policy(
        PolicySettings(
            levels=(
                LevelRule(tags=("a/", "*/b"), level="written", at_least="none"),
                LevelRule(tags=("*",), level="written"),
                LevelRule(tags=("a/", "c/"), level="none"),
            )
        )
    )
    assert policy.levels("a/x") == (Level.WRITTEN, Level.NONE)
    assert policy.levels("x/b") == (Level.WRITTEN, Level.NONE)
    assert policy.levels("c/x") == (Level.WRITTEN, Level.WRITTEN)


def test_without_a_rule_an_event_is_synced_and_less_may_be_asked_for() -> None:
    assert Policy(PolicySettings()).levels("a") == (Level.SYNCED, Level.NONE)
    assert Policy(PolicySettings(level="written", at_least="written")).levels("a") == (Level.WRITTEN, Level.WRITTEN)


@pytest.mark.parametrize(
    "settings",
    [
        PolicySettings(level="safe"), PolicySettings(at_least="safe"), PolicySettings(level="written", at_least="synced"),
        PolicySettings(levels=(LevelRule(tags=(), level="safe"),)), PolicySettings(levels=(LevelRule(tags=(), at_least="safe"),)),
        PolicySettings(levels=(LevelRule(tags=(), level="none", at_least="written"),)),
    ],
)  # fmt: skip
def test_a_level_that_is_none_or_below_the_least_is_refused(settings: PolicySettings) -> None:
    with pytest.raises(InvalidSetting):
        Policy(settings)


def test_what_was_found_for_a_tag_is_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "_CACHE_MAX", 3)
    asked: list[str] = []

    def find(tag: str) -> bool:
        asked.append(tag)
        return tag == "a"

    remembered = policy_module.Remembered(find)
    assert [remembered(tag) for tag in ("a", "b", "c", "a", "b", "c")] == [True, False, False] * 2
    assert asked == ["a", "b", "c"]
    remembered("d")
    assert remembered("a") is True
    assert asked == ["a", "b", "c", "d", "a"]
