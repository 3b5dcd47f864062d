"""Targets: each type of Salt's, and what is wrong with a target said at its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.core.pattern import PATTERN_CHARACTERS_MAX
from sylvite.errors import InvalidTarget
from sylvite.jobs.compound import CHARACTERS_MAX, DEPTH_MAX, WORDS_MAX
from sylvite.jobs.matchers import IDS_MAX
from sylvite.jobs.targets import TARGET_TYPES, parse_target

GRAINS: Mapping[str, Any] = {
    "os": "Debian",
    "osmajorrelease": 12,
    "roles": ["web", "db", {"cache": ["redis", "memcached"]}],
    "ec2_tags": {"environment": "my-production-1", "team": None, "empty": {}},
    "selinux": False,
    "url": "http://example.org:80/a",
    "nothing": None,
    "ipv4": ["127.0.0.1", "192.168.1.7", 5, "not an address"],
    "ipv6": "2001:db8::7",
    "id": "somebody-else",
}


def matches(tgt: str | list[str], tgt_type: str = "glob", minion: str = "web1", **more: Any) -> bool:
    return parse_target(tgt, tgt_type, **more).matches(minion, GRAINS)


def refusal(tgt: str | list[str], tgt_type: str = "compound", **more: Any) -> InvalidTarget:
    with pytest.raises(InvalidTarget) as caught:
        parse_target(tgt, tgt_type, **more)
    return caught.value


# -- One condition ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "expected"),
    [
        ("*", "glob", True), ("web*", "glob", True), ("web?", "glob", True), ("web[1-5]", "glob", True),
        ("web[!1]", "glob", False), ("web", "glob", False), ("web1", "glob", True), ("WEB1", "glob", False),
        ("eb1", "glob", False),
        ("web", "pcre", True), ("web$", "pcre", False), ("eb1", "pcre", False), ("web(1|2)$", "pcre", True),
        ("(?i)WEB", "pcre", True),
        ("web1,db1", "list", True), ("db1, web1 ,", "list", True), ("web*", "list", False), ("db1", "list", False),
        ("os:Debian", "grain", True), ("os:Deb*", "grain", True), ("os:debian", "grain", False),
        ("os:*", "grain", True), ("none:*", "grain", False), ("nothing:*", "grain", False), ("nothing:None", "grain", False),
        ("osmajorrelease:12", "grain", True), ("osmajorrelease:1", "grain", False),
        ("selinux:False", "grain", True), ("selinux:false", "grain", True), ("selinux:true", "grain", False),
        ("roles:db", "grain", True), ("roles:w*", "grain", True), ("roles:mail", "grain", False),
        ("roles:cache", "grain", True), ("roles:cache:redis", "grain", True), ("roles:cache:x", "grain", False),
        ("ec2_tags:environment:*production*", "grain", True), ("ec2_tags:environment:test", "grain", False),
        ("ec2_tags:env*", "grain", True), ("ec2_tags:*", "grain", True), ("ec2_tags:x:*", "grain", False),
        ("ec2_tags:empty:*", "grain", True), ("ec2_tags:empty:x", "grain", False),
        ("url:http://example.org:80/a", "grain", True), ("url:http:*", "grain", True), ("os:Debian:x", "grain", False),
        ("id:web1", "grain", True), ("id:somebody-else", "grain", False),
        ("os:(RedHat|Debian)", "grain_pcre", True), ("os:Deb", "grain_pcre", True), ("os:ian", "grain_pcre", False),
        ("os:Deb$", "grain_pcre", False), ("roles:(db|mail)$", "grain_pcre", True),
        ("url:http://[a-z.]+:(80|443)/", "grain_pcre", True), ("ec2_tags:(environment|x)$", "grain_pcre", True),
        ("192.168.1.7", "ipcidr", True), ("192.168.1.0/24", "ipcidr", True), ("192.168.1.9/24", "ipcidr", True),
        ("192.168.2.0/24", "ipcidr", False), ("2001:db8::/64", "ipcidr", True), ("2001:db8::8", "ipcidr", False),
    ],
)  # fmt: skip
def test_each_type_of_condition(tgt: str, tgt_type: str, expected: bool) -> None:
    """On a minion `web1`, whose own grain of that name says something else and is not believed."""
    assert matches(tgt, tgt_type) is expected


def test_a_list_of_ids_may_be_a_list() -> None:
    target = parse_target(["db1", "web1", "db1"], "list")
    assert target.matches("web1", {})
    assert target.listed == ("db1", "web1")
    assert not target.needs_grains


def test_another_delimiter() -> None:
    assert matches("url|http://example.org*", "grain", delimiter="|")
    assert matches("ec2_tags|environment|*production*", "grain", delimiter="|")
    assert matches("G@os|Debian and G/@os/Debian", "compound", delimiter="|")


def test_a_minion_without_grains_matches_by_its_id_alone() -> None:
    for tgt, tgt_type in (("os:*", "grain"), ("os:.*", "grain_pcre"), ("0.0.0.0/0", "ipcidr")):
        target = parse_target(tgt, tgt_type)
        assert target.needs_grains
        assert not target.matches("web1", {})
    assert parse_target("not G@os:*", "compound").matches("web1", {})


def test_those_that_are_chosen_are_sorted() -> None:
    minions: list[tuple[str, Mapping[str, Any]]] = [("web2", {}), ("db1", {}), ("web1", GRAINS)]
    assert parse_target("web*").choose(minions) == ["web1", "web2"]
    assert parse_target("G@os:Debian", "compound").choose(minions) == ["web1"]
    assert parse_target("nobody").choose(minions) == []


# -- Compound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tgt", "expected"),
    [
        ("webserv* and G@os:Debian or E@web", True), ("web1 or db1 and db2", True), ("( web1 or db1 ) and db2", False),
        ("not web1", False), ("not not web1", True), ("not db1 and web1", True), ("not ( web1 or db1 )", False),
        ("* and not G@kernel:Darwin", True), ("( ms-1 or G@id:web1 ) and G@id:web1", True),
        ("L@db1,web1 and S@192.168.1.0/24", True), (r"E@web\d+$ and P@os:(RedHat|Debian)", True),
        ("G|@url|http://* and P!@url!http", True), ("S@10.0.0.0/8 or ( ( web1 ) )", True), ("  web1\tand\n* ", True),
        (["G@os:Debian", "and", "web1"], True), (["G@ec2_tags:environment:my production", "or", "db1"], False),
    ],
)  # fmt: skip
def test_compound_targets(tgt: str | list[str], expected: bool) -> None:
    assert matches(tgt, "compound") is expected


NODEGROUPS = {
    "web": "L@web1,web2",
    "debian": "G@os:Debian and N@web",
    "list": ["G@os:Debian", "or", "db1"],
    "hosts": ["db1", "web1"],
    "one": ["web1"],
    "blank": ["G@os:Suse Linux", "or", "web1"],
    "round": "N@and_round",
    "and_round": "web1 or N@round",
    "self": "N@self",
    "wrong": "web1 and and db1",
    "empty": "",
}


@pytest.mark.parametrize("group", ["web", "debian", "list", "hosts", "one", "blank"])
def test_a_nodegroup_is_what_it_stands_for(group: str) -> None:
    """For minions too, who know no nodegroups: they are sent its words."""
    for tgt, tgt_type in ((group, "nodegroup"), (f"N@{group}", "compound"), (f"not ( not N@{group} )", "compound")):
        target = parse_target(tgt, tgt_type, nodegroups=NODEGROUPS)
        assert target.matches("web1", GRAINS)
        assert not target.matches("mail1", {})
        sent = parse_target(target.tgt, target.tgt_type)
        assert sent.matches("web1", GRAINS)
        assert not sent.matches("mail1", {})


@pytest.mark.parametrize(
    ("tgt", "position", "reason"),
    [
        ("", 0, "a target is missing"), ("   ", 3, "a target is missing"), ("and", 0, "a condition is missing before it"),
        ("web1 and", 8, "the target ends here"), ("not", 3, "the target ends here"), ("( web1", 6, "a ')' is missing"),
        ("web1 )", 5, "there is no '('"), ("web1 web2", 5, "join conditions with 'and' or 'or'"),
        ("(web1 or web2)", 0, "parentheses stand alone"), ("( web1 or web2)", 10, "parentheses stand alone"),
        ("AND and web1", 0, "write 'and' in small letters"), ("web1 and X@a", 9, "there is no X@"),
        ("web1 and I@a:b", 9, "there is no pillar here"), ("J@a:b", 0, "there is no pillar"), ("R@%a", 0, "range server"),
        ("web1 or E@(", 10, "no regular expression"), ("E@", 2, "it is empty"), ("G@os", 2, "write the grain and what it holds"),
        ("G@:x", 2, "write the grain"), ("L@,", 2, "the list is empty"), ("S@web1", 2, "write an address or a network"),
        ("L|@a", 1, "only G@ and P@"), (r"E@(a)\1", 2, "references to groups"), ("E@" + "a*" * 40, 2, "a match could take"),
        ("N@wbe", 2, "did you mean 'web'?"), ("N@zzz", 2, "there is no nodegroup 'zzz'"), ("N@", 2, "there is no nodegroup ''"),
        ("N@self", 2, "in nodegroup self: nodegroup 'self' leads back to itself"),
        ("N@wrong", 9, "in nodegroup wrong: 'and' is not expected here"), ("N@empty", 0, "in nodegroup empty: a target is missing"),
        ("db1 or N@round", 10, "in nodegroup round > and_round: nodegroup 'round' leads back to itself"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(tgt: str, position: int, reason: str) -> None:
    error = refusal(tgt, nodegroups=NODEGROUPS)
    assert reason in str(error)
    assert error.position == position
    assert str(error).endswith("^")


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "reason"),
    [
        ("a:b", "pillar", "there is no pillar here; use grain"), ("a", "range", "range server"),
        ("a", "glop", "there is no such type of target; there are glob, pcre"), ("", "glob", "it is empty"),
        ("(", "pcre", "no regular expression"), ("os", "grain", "write the grain and what it holds with ':' between"),
        ("", "list", "the list is empty"), ("web", "nodegroup", "there is no nodegroup"), (["a"], "glob", "is one text"),
        (["a"], "nodegroup", "is one text"), ([], "list", "the list is empty"), ([], "compound", "a target is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_other_types(tgt: str | list[str], tgt_type: str, reason: str) -> None:
    assert reason in str(refusal(tgt, tgt_type))


# -- Bounds ----------------------------------------------------------------------------------------------------------


def test_a_target_has_limits_and_what_is_just_within_them_is_taken() -> None:
    words = " or ".join(["a"] * (WORDS_MAX // 2))
    assert parse_target(words, "compound")
    assert f"at most {WORDS_MAX} words" in str(refusal(f"{words} or a or a"))
    assert parse_target("not " * (DEPTH_MAX) + "a", "compound")
    assert f"at most {DEPTH_MAX} deep" in str(refusal("not " * (DEPTH_MAX + 1) + "a"))
    assert parse_target("( " * DEPTH_MAX + "a" + " )" * DEPTH_MAX, "compound")
    assert f"at most {DEPTH_MAX} deep" in str(refusal("( " * (DEPTH_MAX + 1) + "a"))
    assert parse_target("x" * PATTERN_CHARACTERS_MAX)
    assert f"at most {PATTERN_CHARACTERS_MAX} characters" in str(refusal("x" * (PATTERN_CHARACTERS_MAX + 1), "glob"))
    assert parse_target([f"w{number}" for number in range(IDS_MAX)], "list").matches("w7", {})
    assert f"at most {IDS_MAX} ids" in str(refusal(["w"] * (IDS_MAX + 1), "list"))
    assert f"at most {CHARACTERS_MAX} characters" in str(refusal("x" * (CHARACTERS_MAX + 1)))


def test_nodegroups_that_double_each_other_are_counted_as_a_whole() -> None:
    """Thirty short lines would be a thousand million conditions."""
    bomb = {"g0": "web1"} | {f"g{number}": f"N@g{number - 1} or N@g{number - 1}" for number in range(1, 30)}
    assert f"at most {WORDS_MAX} words" in str(refusal("g29", "nodegroup", nodegroups=bomb))
    deep = {f"g{number}": f"N@g{number + 1}" for number in range(DEPTH_MAX + 1)}
    assert f"at most {DEPTH_MAX} deep" in str(refusal("g0", "nodegroup", nodegroups=deep))


def test_patterns_of_a_target_are_bounded_together() -> None:
    costly = "E@.*a.*b"
    assert parse_target(costly, "compound")
    assert "could take too long" in str(refusal(" or ".join([costly] * 400)))
    many = "P@a:" + ":".join([".*a.*"] * 20)
    assert "a match could take" in str(refusal(many))


def test_grains_that_take_long_do_not_match_and_keep_nobody_waiting() -> None:
    """What would match comes too late; not even with `not` before does a minion get a job that way."""
    few, many = {"a": ["x" * 1024, "yz"]}, {"a": ["x" * 1024] * 5000 + ["yz"]}
    for tgt, of_few in (("P@a:.*y.*z$", True), ("not P@a:.*y.*w$", True), ("web1 and P@a:.*y.*z$", True)):
        assert parse_target(tgt, "compound").matches("web1", few) is of_few
        assert not parse_target(tgt, "compound").matches("web1", many)
    assert parse_target("web1 or P@a:.*y.*z$", "compound").matches("web1", many)


def test_grains_that_are_nested_deeply_do_not_match() -> None:
    grains: Any = "x"
    for _ in range(5000):
        grains = [grains]
    assert not parse_target("a:x", "grain").matches("web1", {"a": grains})


# -- Properties ------------------------------------------------------------------------------------------------------

TREES = st.recursive(
    st.sampled_from(
        ["web1", "db1", "G@os:Debian", "G@os:Suse", "L@web1,x", "E@db", "S@10.0.0.0/8", "N@web", "N@hosts"]
    ),
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(inner, st.sampled_from(["and", "or"]), inner)
        | st.tuples(st.just("("), inner, st.just(")"))
    ),
    max_leaves=8,
)
LEAVES = {
    "web1": True, "db1": False, "G@os:Debian": True, "G@os:Suse": False, "L@web1,x": True, "E@db": False,
    "S@10.0.0.0/8": False, "N@web": True, "N@hosts": True,
}  # fmt: skip


def flat(tree: Any) -> list[str]:
    return [tree] if isinstance(tree, str) else [word for part in tree for word in flat(part)]


@given(TREES)
def test_a_compound_means_what_python_would_make_of_it(tree: Any) -> None:
    """The same words with each condition replaced by what it gives: the same precedence, the same result."""
    words = flat(tree)
    expected = bool(eval(" ".join(str(LEAVES.get(word, word)) for word in words)))
    target = parse_target(" ".join(words), "compound", nodegroups=NODEGROUPS)
    assert target.matches("web1", GRAINS) is expected
    sent = parse_target(target.tgt, target.tgt_type)
    assert sent.matches("web1", GRAINS) is expected
    assert "N@" not in " ".join(sent.tgt if not isinstance(sent.tgt, str) else [sent.tgt])


WORDS = st.sampled_from(
    ["and", "or", "not", "(", ")", "web*", "G@os:*", "E@w+", "N@web", "N@round", "X@", "I@a:b", "L@"]
)


@given(
    st.one_of(
        st.text("aGELSNPX@|:*.()[]+\\ ", max_size=25), st.lists(WORDS, max_size=8).map(" ".join), st.text(max_size=10)
    )
)
def test_any_text_is_read_or_refused_at_a_place_within_it(text: str) -> None:
    """Whatever the type: a target that can be asked, or InvalidTarget."""
    for tgt_type in TARGET_TYPES:
        try:
            target = parse_target(text, tgt_type, nodegroups=NODEGROUPS)
        except InvalidTarget as error:
            found = 0 <= error.position <= len(error.expression)
        else:
            found = target.matches("web1", GRAINS) in (True, False)
        assert found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["os", "roles", "ipv4", "ipv6"]), JSON))
def test_any_grains_match_or_do_not(grains: dict[str, Any]) -> None:
    """Whatever a minion says of itself, nothing is raised."""
    for tgt in ("G@os:*", "P@roles:.", "G@os:a:b", "S@10.0.0.0/8", "S@::/0"):
        assert parse_target(tgt, "compound").matches("web1", grains) in (True, False)
