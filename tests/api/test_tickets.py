"""Tickets: they open one stream, once, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from sylvite.api.tickets import KEPT_MAX, LIFE_S, Tickets
from sylvite.errors import NotAuthenticated
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, WITHIN_S, Api
from tests.api.test_sockets import open_socket


def test_a_ticket_counts_once_and_for_a_while() -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    first, second = tickets.make("a").reveal(), tickets.make("b").reveal()
    assert tickets.redeem(first) == "a"
    now[0] = LIFE_S
    for text in (first, second, "", "x" * 10_000, "é"):
        with pytest.raises(NotAuthenticated, match="none, was used, or its time is over"):
            tickets.redeem(text)


def test_what_is_kept_is_bounded_and_shows_no_ticket() -> None:
    tickets = Tickets()
    made = [tickets.make("a") for _ in range(KEPT_MAX + 1)]
    with pytest.raises(NotAuthenticated):
        tickets.redeem(made[0].reveal())
    assert tickets.redeem(made[-1].reveal()) == "a"
    assert str(made[1]) == "***"


def ticket(api: Api, token: str) -> str:
    made = api.ask("POST", "/v1/tickets", token)
    assert (made.status, made.json["expires_s"]) == (201, LIFE_S)
    text: str = made.json["ticket"]
    return text


def test_a_stream_is_opened_with_a_ticket_that_then_counts_no_more(api: Api, token: str) -> None:
    reader = api.token("events:read:mine/**", owner="reader")
    text = ticket(api, reader)
    path = f"/v1/events/stream?ticket={text}"
    with api.stream(path, "") as stream:
        assert stream.answer.status == 200
        assert stream.answer.headers["referrer-policy"] == "no-referrer"
        api.ask("POST", "/v1/events", token, '{"tag": "theirs/a"}')
        api.ask("POST", "/v1/events", token, '{"tag": "mine/a"}')
        assert [event["tag"] for event in stream.events(1)] == ["mine/a"], "it can do what its token can"
    again = api.ask("GET", path)
    assert (again.status, again.json["code"]) == (401, "not_authenticated")
    assert text not in api.log.read_text()


def test_a_socket_is_opened_with_a_ticket(api: Api, token: str) -> None:
    text = ticket(api, token)
    with open_socket(api.port, f"/v1/events/ws?tag=tick/*&ticket={text}") as socket:
        api.ask("POST", "/v1/events", token, '{"tag": "tick/a"}')
        assert json.loads(socket.recv(WITHIN_S))["tag"] == "tick/a"
    with pytest.raises(InvalidStatus) as refused, open_socket(api.port, f"/v1/events/ws?ticket={text}"):
        pass
    assert refused.value.response.status_code == 401


def test_a_ticket_opens_nothing_else(api: Api, token: str) -> None:
    text = ticket(api, token)
    for path in ("/v1/events", "/v1/whoami", "/v1/events/wait", "/v1/status", "/metrics"):
        assert api.ask("GET", f"{path}?ticket={text}").status == 401
    assert api.ask("GET", "/v1/whoami", text).status == 401
    assert api.ask("GET", f"/v1/events?ticket={text}", token).status == 400, "nor is it a parameter there"


def test_a_ticket_of_a_token_that_was_revoked_counts_no_more(api: Api, token: str) -> None:
    made = api.ask("POST", "/v1/tokens", token, json.dumps({"scopes": ["events:read:a/**"]})).json
    text = ticket(api, made["token"])
    api.ask("DELETE", f"/v1/tokens/{made['id']}", token)
    assert api.ask("GET", f"/v1/events/stream?ticket={text}").status == 401


@pytest.mark.parametrize("way", ["ticket", "never"])
def test_salt_s_stream_takes_tickets_in_the_place_of_sessions_or_nothing(tmp_path: Path, way: str) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker, options={"rest_cherrypy": {"url_token": way}}) as api:
        token = api.token(*EVERYTHING)
        text = ticket(api, token)
        assert api.ask("GET", f"/events?token={token}").status == (401 if way == "ticket" else 400)
        if way == "never":
            assert api.ask("GET", f"/events?token={text}").status == 400
            return
        with api.stream(f"/events?token={text}", "") as stream:
            assert stream.answer.status == 200
        assert api.ask("GET", f"/events?token={text}").status == 401
        with open_socket(api.port, f"/ws/{ticket(api, token)}") as socket:
            socket.send("hello")
            assert socket.recv(WITHIN_S) == "server received message"
        for path in (f"/ws/{token}", "/ws/x"):
            with pytest.raises(InvalidStatus) as refused, open_socket(api.port, path):
                pass
            assert refused.value.response.status_code == 401
        assert text not in api.log.read_text()
