"""WebSockets, from outside, with another program's client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.api.nodes import WITHIN_S, Api
from tests.api.rest import Rest


def open_socket(port: int, path: str, token: str = "", **headers: str) -> ClientConnection:
    more = {**({"X-Auth-Token": token} if token else {}), **headers}
    return connect(f"ws://127.0.0.1:{port}{path}", additional_headers=more, open_timeout=WITHIN_S, compression=None)


def publish(api: Api, token: str, tag: str, **data: Any) -> None:
    assert api.ask("POST", "/v1/events", token, json.dumps({"tag": tag, "data": data})).status == 201


def test_events_as_they_come_and_from_before(api: Api, token: str) -> None:
    publish(api, token, "sock/a", n=1)
    with open_socket(api.port, "/v1/events/ws?tag=sock/*&since=oldest", token) as socket:
        assert json.loads(socket.recv(WITHIN_S))["data"] == {"n": 1}
        publish(api, token, "other/a", n=2)
        publish(api, token, "sock/a", n=3)
        assert json.loads(socket.recv(WITHIN_S))["data"] == {"n": 3}


def test_it_ends_with_its_token(api: Api, token: str) -> None:
    made = api.ask("POST", "/v1/tokens", token, json.dumps({"scopes": ["events:read:quiet/**"]})).json
    with open_socket(api.port, "/v1/events/ws", made["token"]) as socket:
        api.ask("DELETE", f"/v1/tokens/{made['id']}", token)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(WITHIN_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the token does not count any more")


@pytest.mark.parametrize(
    ("path", "with_token", "headers", "status"),
    [
        ("/v1/events/ws", False, {}, 401), ("/v1/events/ws?where=data.", True, {}, 400), ("/v1/events/ws?tags=a", True, {}, 400),
        ("/v1/events/ws", True, {"Origin": "http://evil.example"}, 403), ("/ws", False, {}, 401), ("/ws/0123", False, {}, 401),
        ("/ws?format_events=1", True, {}, 400),
    ],
)  # fmt: skip
def test_who_may_not(api: Api, token: str, path: str, with_token: bool, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, open_socket(api.port, path, token if with_token else "", **headers):
        pass
    assert refused.value.response.status_code == status


def test_a_message_that_is_too_large_costs_its_sender_the_connection(api: Api, token: str) -> None:
    with open_socket(api.port, "/v1/events/ws", token) as socket:
        socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(WITHIN_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert api.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("in_path", [False, True])
def test_salt_s_own(rest: Rest, session: str, in_path: bool) -> None:
    """spec/salt-events.md 8.6: nothing comes before the client's word; every message of its is answered."""
    path, token = (f"/ws/{session}", "") if in_path else ("/ws", session)
    with open_socket(rest.port, path, token) as socket:
        socket.send("hello")
        assert socket.recv(WITHIN_S) == "server received message"
        socket.send("websocket client ready")
        assert socket.recv(WITHIN_S) == "server received message"
        rest.ask("POST", "/hook/ws", '{"n": 1}', {"X-Auth-Token": session, "Content-Type": "application/json"})
        while "salt/netapi/hook/ws" not in (text := str(socket.recv(WITHIN_S))):
            pass
        assert text.startswith('data: {"tag": "salt/netapi/hook/ws", "data": {')
        assert text.endswith("\n\n")
    assert session not in "".join(file.read_text() for file in rest.site.folder.glob("*.log"))
