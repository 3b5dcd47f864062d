"""Scopes: what they let one do, against a model that asks each tag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.api.scopes import VERBS, Grant, InvalidScope, Scope, parse_scope

SEGMENTS = st.sampled_from(["a", "b", "salt", "myco", ""])
TAGS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool)
PATTERNS = (
    st.tuples(st.lists(st.sampled_from(["a", "b", "salt", "*"]), max_size=3), st.sampled_from(["a", "b", "*", "**"]))
    .map(lambda parts: "/".join([*parts[0], parts[1]]))
)  # fmt: skip


def model(pattern: str, tag: str) -> bool:
    """Say the same by recursion, segment by segment."""
    first, _, rest = pattern.partition("/")
    if pattern == "**":
        return True
    segment, slash, more = tag.partition("/")
    if first not in ("*", segment):
        return False
    if not rest:
        return not slash
    return bool(slash) and model(rest, more)


@given(PATTERNS, TAGS)
def test_reading_is_as_the_model_says(pattern: str, tag: str) -> None:
    assert Grant([Scope("events:read", pattern)]).may_read(tag) == model(pattern, tag)


@given(PATTERNS, PATTERNS, TAGS)
def test_what_is_covered_is_no_more(wide: str, narrow: str, tag: str) -> None:
    if Scope("events:read", wide).covers(Scope("events:read", narrow)) and model(narrow, tag):
        assert model(wide, tag)


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ("**", "a/b", True), ("**", "**", True), ("a/**", "a/*/b", True), ("a/**", "a/**", True), ("a/**", "a/b/**", True),
        ("*/b", "a/b", True), ("a/*", "a/**", False), ("a/b", "a/*", False), ("a/**", "a", False), ("a/**", "**", False),
        ("a/**", "*/b", False), ("a/b/**", "a/**", False),
    ],
)  # fmt: skip
def test_covers(wide: str, narrow: str, covers: bool) -> None:
    assert Scope("events:write", wide).covers(Scope("events:write", narrow)) is covers
    assert not Scope("events:write", wide).covers(Scope("events:read", narrow))


@pytest.mark.parametrize(
    ("pattern", "tag", "may"),
    [
        ("**", "myco/a", True), ("**", "salt/key", False), ("*/key", "salt/key", False), ("salt/**", "salt/key", True),
        ("salt/job/*/prog/**", "salt/job/1/prog/a/1", True), ("**", "sylvite/x", False), ("sylvite/**", "sylvite/x", False),
        ("salt", "salt", True),
    ],
)  # fmt: skip
def test_what_is_somebody_s_own_is_not_written_by_chance(pattern: str, tag: str, may: bool) -> None:
    grant = Grant([Scope("events:write", pattern)])
    assert grant.may_write(tag) is may
    assert not grant.may_read(tag)


def test_verbs() -> None:
    grant = Grant([Scope("events:read", "a/**"), Scope("status:read")])
    assert grant.allows("status:read")
    assert grant.allows("events:read")
    assert not grant.allows("tokens:admin")
    assert grant.lacks([Scope("events:read", "a/b"), Scope("events:read", "b"), Scope("tokens:admin")]) == [
        Scope("events:read", "b"),
        Scope("tokens:admin"),
    ]


@pytest.mark.parametrize(
    ("pattern", "function", "may"),
    [
        ("**", "test.ping", True), ("test.*", "test.ping", True), ("test.*", "cmd.run", False), ("test.ping", "test.ping", True),
        ("test.ping", "test.pings", False), ("test.*", "test", False), ("*", "test.ping", False), ("test.**", "test.a.b", True),
        ("*.ping", "test.ping", True),
    ],
)  # fmt: skip
def test_functions_that_may_be_run(pattern: str, function: str, may: bool) -> None:
    grant = Grant([parse_scope(f"jobs:run:{pattern}"), Scope("events:write", "**")])
    assert grant.may_run(function) is may
    assert Scope("jobs:run", pattern).covers(Scope("jobs:run", function)) is may


@pytest.mark.parametrize("verb", VERBS)
def test_a_scope_is_read_as_it_is_written(verb: str) -> None:
    text = f"{verb}:{VERBS[verb].example}" if VERBS[verb].separator else verb
    assert str(parse_scope(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are events:read"), ("events", "there are"), ("events:delete:a", "there are"), ("events:read", "a pattern of tags"),
        ("events:read:", "a pattern of tags"), ("jobs:run", "a pattern of functions belongs behind it, such as jobs:run:test"), ("jobs:run:te*", "whole segment"), ("events:read:a*", "whole segment"), ("events:read:**/a", "whole segment"),
        ("events:read:a/x*/b", "whole segment"), ("tokens:admin:x", "stands alone"), ("tokens:admin:", "stands alone"),
        ("events:read:" + "a" * 300, "at most 256 bytes"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_when_it_is_written(text: str, reason: str) -> None:
    with pytest.raises(InvalidScope, match=reason):
        parse_scope(text)
