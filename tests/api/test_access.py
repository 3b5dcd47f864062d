"""Who may do what.  Every entry with every kind of token: tests/faults/test_http_access.py."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from sylvite.api.access import FAILURES_MAX
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, WITHIN_S, Api


def test_a_token_in_the_address_is_not_taken(api: Api, token: str) -> None:
    assert api.ask("GET", f"/v1/whoami?token={token}").status == 401
    assert token not in api.log.read_text()


def test_what_is_wrong_is_not_told_apart(api: Api, token: str) -> None:
    gone = api.token("status:read", more=("--expires", "1s"))
    time_over = time.monotonic() + WITHIN_S
    while api.ask("GET", "/v1/whoami", gone).status != 401:
        assert time.monotonic() < time_over
    answers = [api.ask("GET", "/v1/whoami", text).body for text in (gone, "garbage", token[:-1] + "x")]
    assert len(set(answers)) == 1


def test_tokens_over_http_are_no_wider_than_one_s_own(api: Api) -> None:
    admin = api.token("events:read:a/**", "tokens:admin", owner="chief")
    made = api.ask(
        "POST", "/v1/tokens", admin, json.dumps({"scopes": ["events:read:a/b/*"], "owner": "guest", "expires_s": 60})
    )
    assert made.status == 201
    who = api.ask("GET", "/v1/whoami", made.json["token"]).json
    assert (who["owner"], who["scopes"]) == ("guest", ["events:read:a/b/*"])
    for scopes in (["events:read:**"], ["events:write:a/**"], ["status:read"]):
        wider = api.ask("POST", "/v1/tokens", admin, json.dumps({"scopes": scopes}))
        assert (wider.status, wider.json["code"]) == (403, "not_allowed")
    bad = api.ask("POST", "/v1/tokens", admin, json.dumps({"scopes": ["events:burn:a"]}))
    assert (bad.status, bad.json["code"]) == (400, "invalid_scope")
    listed = api.ask("GET", "/v1/tokens", admin).json["items"]
    assert made.json["id"] in {item["id"] for item in listed}
    assert made.json["token"].split("_")[2] not in json.dumps(listed)
    assert api.ask("DELETE", f"/v1/tokens/{made.json['id']}", admin).status == 204
    assert api.ask("GET", "/v1/whoami", made.json["token"]).status == 401
    assert api.ask("DELETE", f"/v1/tokens/{made.json['id']}", admin).status == 404


def test_an_idle_stream_ends_within_a_second_of_its_token(api: Api, token: str) -> None:
    made = api.ask("POST", "/v1/tokens", token, json.dumps({"scopes": ["events:read:quiet/**"]})).json
    with api.stream("/v1/events/stream", made["token"]) as stream:
        threading.Timer(0.2, lambda: api.ask("DELETE", f"/v1/tokens/{made['id']}", token)).start()
        (bye,) = stream.blocks()
    assert (bye["event"], json.loads(bye["data"])) == ("bye", {"reason": "the token does not count any more"})


def test_a_stream_is_told_when_the_interface_stops(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        token = api.token(*EVERYTHING)
        with api.stream("/v1/events/stream", token) as stream:
            assert api.stop() == 0
            (bye,) = stream.blocks()
        assert "go on with the last id" in bye["data"]
        assert "Traceback" not in api.log.read_text()


def test_many_wrong_tokens_have_to_wait(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        statuses = [api.ask("GET", "/v1/whoami", f"wrong{number}").status for number in range(FAILURES_MAX + 1)]
        assert statuses == [401] * FAILURES_MAX + [429]
        assert int(api.ask("GET", "/v1/whoami", "wrong").headers["retry-after"]) > 0
        assert api.ask("GET", "/v1/whoami", api.token("status:read")).status == 200, "others at that address are let in"


def test_a_stream_goes_on_over_a_restart_of_the_broker(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        token = api.token(*EVERYTHING)
        with api.stream("/v1/events/stream?tag=a/*", token) as stream:
            body = '{"tag": "a/1"}'
            api.ask("POST", "/v1/events", token, body)
            assert [event["tag"] for event in stream.events(1)] == ["a/1"]
            broker.kill()
            away = api.ask("GET", "/readyz")
            assert (away.status, away.body[:9]) == (503, b"not ready")
            broker.start()
            until = time.monotonic() + WITHIN_S
            while api.ask("POST", "/v1/events", token, '{"tag": "a/2"}', Idempotency_Key="k").status != 201:
                assert time.monotonic() < until
            assert [event["tag"] for event in stream.events(1)] == ["a/2"]
        assert api.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--listen", "0.0.0.0:0"), "tokens must not travel in the clear"),
        (("--certificate", "/nowhere.crt"), "belong together"),
        (("--listen", "192.0.2.1:1"), "tokens must not travel in the clear"),
    ],
)
def test_it_does_not_start_where_tokens_would_travel_in_the_clear(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    with BrokerProcess(tmp_path / "bus") as broker:
        api = Api(broker, *arguments)
        with pytest.raises(AssertionError, match=said), api:
            pass
        assert "Traceback" not in api.log.read_text()


def test_a_port_that_is_taken_is_said_in_a_few_words(api: Api) -> None:
    second = Api(api.broker, "--listen", f"127.0.0.1:{api.port}")
    with pytest.raises(AssertionError, match=r"cannot be listened on: Address already in use\n"), second:
        pass
