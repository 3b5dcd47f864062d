"""Which tag a delivery gets, and what is in its event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.auth.hook_rules import make_event, read_rule
from sylvite.auth.webhooks import Delivery, Shown
from sylvite.errors import InvalidInput, InvalidSetting

RULE = read_rule("webhooks_in.ci", "github", "hooks/ci/{event}/{x-kind}", ["X-Kind"])


def test_a_tag_of_headers() -> None:
    headers = {"x-github-event": "Push Hook", "x-kind": "a.b-c_d", "x-other": "not in it"}
    tag, data = make_event("ci", RULE, Delivery(headers, b"{}"), Shown("1", b"1"))
    assert tag == "hooks/ci/Push_Hook/a.b-c_d"
    assert data == {"hook": "ci", "id": "1", "headers": {"x-kind": "a.b-c_d"}, "body": "{}"}


@given(event=st.text(max_size=80), kind=st.text(max_size=80))
def test_no_header_leads_out_of_the_prefix(event: str, kind: str) -> None:
    delivery = Delivery({"x-github-event": event, "x-kind": kind}, b"")
    try:
        tag, _ = make_event("ci", RULE, delivery, Shown("", b""))
    except InvalidInput:
        return
    assert tag.startswith("hooks/ci/")
    assert tag.count("/") == 3


@pytest.mark.parametrize("value", ["", "a/b", "..", ".", "\u202e", "a\nb", "é", "x" * 65, "{event}"])
def test_headers_that_make_no_segment(value: str) -> None:
    with pytest.raises(InvalidInput):
        make_event("ci", RULE, Delivery({"x-github-event": value, "x-kind": "a"}, b""), Shown("", b""))


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        ("application/json; charset=utf-8", b'{"a": [1, null]}', {"a": [1, None]}),
        ("application/cloudevents+json", b"[1]", [1]),
        ("application/json", b"{not json", "{not json"),
        ("application/json", b"[" * 100_000, "[" * 100_000),
        ("application/json", b"123456789012345678901234567890", "123456789012345678901234567890"),
        ("application/x-www-form-urlencoded", b"a=1&b=&a=2", {"a": "2", "b": ""}),
        ("text/plain", b"{}", "{}"),
        ("", b"\xff\x00", b"\xff\x00"),
    ],
)
def test_bodies(kind: str, body: bytes, value: object) -> None:
    rule = read_rule("h", "shared-secret", "hooks/a", [])
    assert make_event("a", rule, Delivery({"content-type": kind}, body), Shown("", b""))[1]["body"] == value


@pytest.mark.parametrize(
    ("tag", "headers", "said"),
    [
        ("", [], "no tag"),
        ("hooks/{nothing}", [], "{nothing}"),
        ("hooks/{event}", [], "{event}"),
        ("{x-a}/b", ["X-A"], "text of its own"),
        ("hooks-{x-a}", ["X-A"], "text of its own"),
        ("hooks/{x-a", ["X-A"], "brace"),
        ("hooks/\n", [], "no tag"),
        ("sylvite/a", [], "not for others"),
        ("salt/job/1", [], "salt/netapi/hook/"),
        ("salt/{x-a}", ["X-A"], "salt/netapi/hook/"),
        ("hooks/a", ["X A"], "no name of a header"),
        ("hooks/a", ["Authorization"], "secret"),
    ],
)
def test_rules_that_cannot_be(tag: str, headers: list[str], said: str) -> None:
    with pytest.raises(InvalidSetting, match=said.replace("{", r"\{").replace("}", r"\}")):
        read_rule("webhooks_in.a", "standard", tag, headers)


def test_salt_s_own_place_for_hooks() -> None:
    rule = read_rule("h", "standard", "salt/netapi/hook/{x-a}", ["x-a"])
    assert make_event("a", rule, Delivery({"x-a": "b"}, b""), Shown("", b""))[0] == "salt/netapi/hook/b"
