"""Events over HTTP, from outside: real processes, real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sylvite.client.sync_client import Client
from tests.api.nodes import Api

JSON = "application/json"
NDJSON = "application/x-ndjson"


def publish(api: Api, token: str, tag: str, **data: Any) -> dict[str, Any]:
    answer = api.ask("POST", "/v1/events", token, json.dumps({"tag": tag, "data": data}), Content_Type=JSON)
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.json
    return found


def test_what_is_published_is_on_the_bus_under_its_owner(api: Api, token: str) -> None:
    said = publish(api, token, "myco/one", x=1, text="é")
    assert (said["count"], said["level"]) == (1, "synced")
    with Client.connect(api.broker.socket) as client:
        event = client.get(said["offset"])
    assert (event.tag, event.data, event.sender) == ("myco/one", {"x": 1, "text": "é"}, "api:alice")
    one = api.ask("GET", f"/v1/events/{said['offset']}", token).json
    assert one == event.envelope()


def test_many_are_published_together_or_not_at_all(api: Api, token: str) -> None:
    lines = "".join(json.dumps({"tag": f"many/{number}", "data": {"n": number}}) + "\n" for number in range(5))
    said = api.ask("POST", "/v1/events", token, lines, Content_Type=NDJSON).json
    assert said["count"] == 5
    bad = api.ask("POST", "/v1/events", token, lines + '{"tag": ""}\n', Content_Type=NDJSON)
    assert (bad.status, bad.json["code"]) == (400, "invalid_tag")
    page = api.ask("GET", "/v1/events?tag=many/&limit=100", token).json
    assert [item["data"]["n"] for item in page["items"]] == list(range(5))
    assert [item["offset"] for item in page["items"]] == list(range(said["offset"], said["offset"] + 5))


def test_the_answer_waits_for_the_level_that_is_asked_for(api: Api, token: str) -> None:
    body = json.dumps({"tag": "level/a"})
    for level in ("written", "synced"):
        assert api.ask("POST", f"/v1/events?ack={level}", token, body).json["level"] == level
    alone = api.ask("POST", "/v1/events?ack=replicated", token, body)
    assert (alone.status, alone.json["code"]) == (400, "invalid_setting")
    assert "needs a cluster" in alone.json["detail"]
    for level in ("none", "SYNCED", ""):
        assert api.ask("POST", f"/v1/events?ack={level}", token, body).json["code"] == "invalid_setting"
    assert len(api.ask("GET", "/v1/events?tag=level/", token).json["items"]) == 2


def test_the_same_key_publishes_once(api: Api, token: str) -> None:
    body = json.dumps({"tag": "once/a", "data": {}})
    first = api.ask("POST", "/v1/events", token, body, Idempotency_Key="k-1")
    again = api.ask("POST", "/v1/events", token, body, Idempotency_Key="k-1")
    other = api.ask("POST", "/v1/events", token, body, Idempotency_Key="k-2")
    assert first.json["offset"] == again.json["offset"] != other.json["offset"]
    bobs = api.ask("POST", "/v1/events", api.token("events:write:once/**", owner="bob"), body, Idempotency_Key="k-1")
    assert bobs.json["offset"] not in (first.json["offset"], other.json["offset"])
    assert len(api.ask("GET", "/v1/events?tag=once/", token).json["items"]) == 3


def test_history_goes_page_by_page(api: Api, token: str) -> None:
    for number in range(7):
        publish(api, token, "page/a" if number % 2 else "page/b", n=number)
    seen: list[int] = []
    place = ""
    while True:
        page = api.ask("GET", f"/v1/events?tag=page/*&limit=3{place}", token).json
        seen += [item["data"]["n"] for item in page["items"]]
        if page["end"]:
            break
        place = f"&after={page['next']}"
    assert seen == list(range(7))
    assert [item["data"]["n"] for item in api.ask("GET", "/v1/events?tag=page/a&match=exact", token).json["items"]] == [
        1,
        3,
        5,
    ]
    found = api.ask("GET", "/v1/events?tag=page/*&where=data.n%20%3E%204", token).json["items"]
    assert [item["data"]["n"] for item in found] == [5, 6]
    found = api.ask("GET", "/v1/events?tag=page/*&exclude=page/a", token).json["items"]
    assert [item["data"]["n"] for item in found] == [0, 2, 4, 6]


def test_a_stream_has_no_seam_between_history_and_now(api: Api, token: str) -> None:
    first = publish(api, token, "seam/a", n=0)
    publish(api, token, "seam/a", n=1)
    with api.stream("/v1/events/stream?tag=seam/*&since=@" + str(first["offset"]), token) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert [event["data"]["n"] for event in stream.events(2)] == [0, 1]
        publish(api, token, "other/a", n=9)
        publish(api, token, "seam/a", n=2)
        (third,) = stream.events(1)
        assert third["data"]["n"] == 2
    with api.stream("/v1/events/stream?tag=seam/*", token, Last_Event_ID=third["id"]) as stream:
        publish(api, token, "seam/a", n=3)
        assert [event["data"]["n"] for event in stream.events(1)] == [3]


def test_a_stream_with_a_condition(api: Api, token: str) -> None:
    with api.stream("/v1/events/stream?tag=cond/*&where=data.n%20%3E%204", token) as stream:
        for number in range(3, 7):
            publish(api, token, "cond/a", n=number)
        assert [event["data"]["n"] for event in stream.events(2)] == [5, 6]


def test_lines_in_place_of_events(api: Api, token: str) -> None:
    publish(api, token, "lines/a", n=1)
    with api.stream("/v1/events/stream?tag=lines/*&since=oldest", token, Accept=NDJSON) as stream:
        assert json.loads(stream.answer.readline())["data"] == {"n": 1}


def test_wait_for_one(api: Api, token: str) -> None:
    publish(api, token, "wait/a", n=1)
    found = api.ask("GET", "/v1/events/wait?tag=wait/*&since=oldest", token)
    assert (found.status, found.json["data"]) == (200, {"n": 1})
    late = api.ask("GET", "/v1/events/wait?tag=nobody/*&timeout=0.2", token)
    assert (late.status, late.json["code"]) == (504, "wait_timeout")


def test_what_a_scope_hides_is_not_there(api: Api, token: str) -> None:
    reader = api.token("events:read:mine/**", owner="reader")
    hidden = publish(api, token, "theirs/a", n=1)
    publish(api, token, "mine/a", n=2)
    page = api.ask("GET", "/v1/events", reader).json
    assert {item["tag"] for item in page["items"]} == {"mine/a"}
    one = api.ask("GET", f"/v1/events/{hidden['offset']}", reader)
    assert (one.status, one.json["code"]) == (404, "no_such_offset")
    with api.stream("/v1/events/stream", reader) as stream:
        publish(api, token, "theirs/b", n=3)
        publish(api, token, "mine/b", n=4)
        assert [event["tag"] for event in stream.events(1)] == ["mine/b"]
    refused = api.ask("POST", "/v1/events", reader, '{"tag": "mine/c"}')
    assert (refused.status, refused.json["code"]) == (403, "not_allowed")
    writer = api.token("events:write:mine/**", owner="writer")
    assert api.ask("POST", "/v1/events", writer, '{"tag": "theirs/c"}').status == 403
    assert api.ask("POST", "/v1/events", writer, '{"tag": "salt/key"}').status == 403
    assert api.ask("GET", "/v1/events", writer).status == 403


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/events?limit=0", 400, "invalid_setting"), ("/v1/events?limit=1001", 400, "invalid_setting"),
        ("/v1/events?tags=a", 400, "invalid_setting"), ("/v1/events?since=soon", 400, "invalid_setting"),
        ("/v1/events?after=7", 400, "invalid_setting"), ("/v1/events?after=", 400, "invalid_setting"),
        ("/v1/events?since=oldest&after=0123456789abcdef.7", 400, "invalid_setting"),
        ("/v1/events?where=data.", 400, "invalid_expression"), ("/v1/events?tag=(a%2B)%2B%24&match=regex", 400, "invalid_pattern"),
        ("/v1/events?match=fuzzy", 400, "invalid_setting"), ("/v1/events?limit=1&limit=2", 400, "invalid_setting"),
        ("/v1/events/99999999", 404, "no_such_offset"), ("/v1/events/x", 400, "invalid_setting"), ("/v1/nothing", 404, "not_found"),
        ("/v1/events/wait?timeout=much", 400, "invalid_setting"), ("/v1/events/wait?timeout=nan", 400, "invalid_setting"),
        ("/v1/events/stream?where=data.", 400, "invalid_expression"), ("/v1/events/stream?after=zz", 400, "invalid_setting"),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_answered(api: Api, token: str, path: str, status: int, code: str) -> None:
    answer = api.ask("GET", path, token)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("{", JSON, 400, "invalid_input"), ('{"data": {}}', JSON, 400, "invalid_input"), ('{"tag": 5}', JSON, 400, "invalid_input"),
        ('{"tag": "a", "more": 1}', JSON, 400, "invalid_input"), ('{"tag": "a", "data": []}', JSON, 400, "invalid_input"),
        ('{"tag": "a\\nb"}', JSON, 400, "invalid_tag"), ("<a/>", "text/xml", 415, "wrong_type"), ("", NDJSON, 400, "invalid_input"),
        ('{"tag": "a", "data": {"x": "' + "y" * 1_048_600 + '"}}', JSON, 413, "event_too_big"),
        ('{"tag": "a", "data": {"x": "' + "y" * 2_000_000 + '"}}', JSON, 413, "body_too_big"),
        ('{"tag": "sylvite/own"}', JSON, 403, "not_allowed"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_published(api: Api, token: str, body: str, kind: str, status: int, code: str) -> None:
    answer = api.ask("POST", "/v1/events", token, body, Content_Type=kind)
    assert (answer.status, answer.json["code"]) == (status, code)


def test_methods_that_there_are_not(api: Api, token: str) -> None:
    answer = api.ask("PUT", "/v1/events", token)
    assert (answer.status, answer.json["code"], answer.headers["allow"]) == (405, "wrong_method", "GET, HEAD, POST")
