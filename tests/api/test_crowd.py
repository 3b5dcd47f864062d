"""How many may be connected at once: the rule, and from outside."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sylvite.api.connections import CONTROLS_MAX
from sylvite.api.crowd import Crowd, Who, place_of
from sylvite.api.problems import TooManyRequests
from sylvite.api.turns import Turns
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, Api
from tests.daemons.nodes import WITHIN_S

ONE, TWO, THREE = ("192.0.2.1", 1), ("192.0.2.1", 2), ("192.0.2.1", 3)
ELSEWHERE = ("192.0.2.2", 1)


class Door:
    """Who was let in, in order."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.inside: list[Who] = []

    def come(self, who: Who) -> bool:
        if self.crowd.came(who, lambda: self.inside.append(who)):
            self.inside.append(who)
            return True
        return False


# -- The rule --------------------------------------------------------------------------------------------------------


def test_strangers_wait_for_each_other_and_nobody_else() -> None:
    door = Door(Crowd(1))
    assert [door.come(who) for who in (ONE, TWO, THREE, ELSEWHERE)] == [True, False, False, True]
    assert door.crowd.count == 4
    door.crowd.left(TWO)  # It has waited long enough.
    door.crowd.left(ONE)
    assert door.inside == [ONE, ELSEWHERE, THREE]
    assert door.crowd.count == 2


def test_who_has_shown_a_token_is_no_stranger() -> None:
    door = Door(Crowd(1))
    door.come(ONE)
    door.come(TWO)
    door.crowd.shown(ONE, "a")
    assert door.inside == [ONE, TWO]
    door.crowd.left(ONE)
    assert not door.come(THREE), "the second one is still there"


def test_of_one_token_there_are_so_many() -> None:
    door = Door(Crowd(None, 1))
    for who in (ONE, TWO):
        door.come(who)
    door.crowd.shown(ONE, "a")
    door.crowd.shown(ONE, "a")
    with pytest.raises(TooManyRequests, match="1 connections"):
        door.crowd.shown(TWO, "a")
    door.crowd.shown(ONE, "b")  # Behind a proxy one connection is many people's.
    door.crowd.shown(TWO, "a")
    door.crowd.left(TWO)
    door.come(THREE)
    door.crowd.shown(THREE, "a")
    door.crowd.shown(None, "a")


def test_nothing_is_remembered_of_those_who_have_left() -> None:
    door = Door(Crowd(1, 1))
    for who in (ONE, TWO, THREE):
        door.come(who)
    door.crowd.shown(ONE, "a")
    for who in (ONE, TWO, THREE):
        door.crowd.left(who)
    door.crowd.left(ONE)
    assert door.crowd.count == 0
    assert not any(value for name, value in vars(door.crowd).items() if name in ("_strangers", "_waiting", "_tokens", "_of_token"))  # fmt: skip


def test_a_network_of_ipv6_is_one_place() -> None:
    assert place_of("2001:db8::1") == place_of("2001:db8:0:0:ffff::2") != place_of("2001:db8:0:1::1")
    assert place_of("::ffff:192.0.2.1") != place_of("::ffff:192.0.2.2")
    assert place_of("fe80::1%eth0") == place_of("fe80::2")


def test_replays_take_turns_by_token() -> None:
    async def run() -> list[str]:
        turns, order = Turns(None, 4), list[str]()

        async def replay(who: str) -> None:
            for _ in range(3):
                await turns.take(who)
                order.append(who)

        await asyncio.gather(*(replay(who) for who in ("a", "a", "a", "b")))
        return order

    order = asyncio.run(run())
    assert order[:6] == ["a", "b"] * 3
    assert order[6:] == ["a"] * 6


def test_replays_are_paced_all_together() -> None:
    async def run() -> float:
        turns, began = Turns(1e6, 4), time.monotonic()
        for who in ("a", "b", "a", "b"):
            await turns.take(who)
            turns.took(50_000)
        return time.monotonic() - began

    assert asyncio.run(run()) >= 0.14


def test_one_who_leaves_costs_nobody_his_turn() -> None:
    async def run() -> None:
        turns = Turns(None, 4)
        leaving = asyncio.create_task(turns.take("a"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait_for(turns.take("b"), WITHIN_S)

    asyncio.run(run())


def test_of_one_token_so_many_histories_are_read_at_once() -> None:
    turns = Turns(None, 1)
    with (
        turns.history("a"),
        turns.history("b"),
        pytest.raises(TooManyRequests, match="1 histories"),
        turns.history("a"),
    ):
        pass
    with turns.history("a"):
        pass


# -- From outside ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Generator[Api]:
    limits = {"rest_cherrypy": {"connections_per_address": 2, "connections_per_token": 3, "streams_per_token": 2}}
    folder: Path = tmp_path_factory.mktemp("crowd")
    (folder / "bus").mkdir()
    with BrokerProcess(folder / "bus") as broker, Api(broker, options=limits) as process:
        yield process


def _silent(stack: ExitStack, api: Api) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", api.port), WITHIN_S))


def test_strangers_of_one_address_wait_for_each_other(narrow: Api) -> None:
    token = narrow.token(*EVERYTHING)
    with ExitStack() as stack:
        silent = [_silent(stack, narrow) for _ in range(3)]
        late = silent.pop()
        late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        # It comes in the moment that one of the others goes.
        silent.pop().close()
        assert late.recv(100).startswith(b"HTTP/1.1 200 ")
    said = narrow.ask("GET", "/metrics", token).body.decode()
    assert 'sylvite_api_connections_cut_total{limit="address"}' in said
    assert "sylvite_api_connections 1.0" in said


def test_a_token_has_so_many_connections_and_streams(narrow: Api) -> None:
    token = narrow.token(*EVERYTHING)
    with ExitStack() as stack:
        streams = [stack.enter_context(narrow.stream("/v1/events/stream", token)) for _ in range(2)]
        assert [stream.answer.status for stream in streams] == [200, 200]
        third = narrow.ask("GET", "/v1/events/stream", token)
        assert (third.status, third.json["code"]) == (429, "too_many_requests")
        kept = narrow.connection()
        stack.callback(kept.close)
        kept.request("GET", "/v1/whoami", headers={"Authorization": f"Bearer {token}"})
        assert kept.getresponse().read()
        fourth = narrow.ask("GET", "/v1/whoami", token)
        assert (fourth.status, json.loads(fourth.body)["detail"]) == (429, "a token may have 3 connections")
        assert "retry-after" in fourth.headers
        assert narrow.ask("GET", "/v1/whoami", narrow.token(*EVERYTHING)).status == 200


def test_a_flood_of_pings_ends_its_connection(narrow: Api) -> None:
    with _socket(narrow) as flooding, _socket(narrow) as patient:
        for _ in range(CONTROLS_MAX // 2):
            assert patient.ping().wait(WITHIN_S)
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(50 * CONTROLS_MAX):
                flooding.ping()
                flooding.pong()
            flooding.recv(WITHIN_S)
        # Whoever is still speaking then may not hear why.
        if closed.value.rcvd is not None:
            assert (closed.value.rcvd.code, "pings" in closed.value.rcvd.reason) == (1008, True)
        assert patient.ping().wait(WITHIN_S)
    token = narrow.token(*EVERYTHING)
    said = narrow.ask("GET", "/metrics", token).body.decode()
    assert 'sylvite_api_connections_cut_total{limit="frames"} 1.0' in said


def _socket(api: Api) -> ClientConnection:
    header = {"X-Auth-Token": api.token(*EVERYTHING)}
    return connect(f"ws://127.0.0.1:{api.port}/v1/events/ws", additional_headers=header, open_timeout=WITHIN_S)
