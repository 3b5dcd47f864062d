"""What keeps a master out of a cluster, decided without a server."""

from __future__ import annotations

import pytest

from sylvite.cluster.claim import Claim
from sylvite.cluster.joining import Permissions, Side, covers, judge_key, judge_name, judge_permissions
from sylvite.cluster.permissions import allowed_of
from sylvite.cluster.settings import ClusterSettings

NEEDED = allowed_of(ClusterSettings(), "mars")
OURS = Claim("1", "h1", key="aa")


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.*", "a.>", False),
        ("a.b", "a.*", False),
        ("a.>", "a.>", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a.>", True),
        ("*.b.>", "*.b.c", True),
    ],
)
def test_a_pattern_covers_what_it_stands_for(pattern: str, subject: str, expected: bool) -> None:
    assert covers(pattern, subject) is expected


def texts(has: Permissions | None) -> list[str]:
    return [f"{finding.state}: {finding.text}" for finding in judge_permissions(has, NEEDED)]


def test_what_the_user_may_do() -> None:
    exact = Permissions(Side(NEEDED.publish), Side(NEEDED.subscribe))
    assert texts(Permissions()) == texts(exact) == []
    without = Side(tuple(subject for subject in NEEDED.publish if subject != "sylvite.log.mars"))
    assert texts(Permissions(without)) == ["FAIL: it may not publish to sylvite.log.mars"]
    others = allowed_of(ClusterSettings(), "venus")
    (found,) = texts(Permissions(Side(others.publish), Side(others.subscribe)))
    assert "sylvite.log.mars, sylvite.say.mars" in found
    assert "$KV.sylvite_shared.mars.>" in found
    denied = Permissions(subscribe=Side((), ("_INBOX.mine.>",)))
    assert texts(denied) == ["FAIL: it may not subscribe to _INBOX.>"]
    assert texts(None) == ["warn: the server does not tell us what we may do"]


def test_who_is_there_keeps_its_name() -> None:
    assert judge_name("mars", None) == []
    (found,) = judge_name("mars", OURS)
    assert "on h1" in found.text


def test_all_have_one_key() -> None:
    gone, unknown = Claim("", key="bb"), Claim("3")
    assert judge_key("aa", "mars", {"venus": OURS, "pluto": gone, "io": unknown, "mars": Claim("4", key="cc")}) == []
    for ours in ("bb", ""):
        (found,) = judge_key(ours, "mars", {"venus": OURS})
        assert (found.state, found.rule) == ("FAIL", "key")
        assert "from the keys of venus, on h1" in found.cure
