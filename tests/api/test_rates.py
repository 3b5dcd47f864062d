"""How much a token may do: the rule, and from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sylvite.api.rates import REMEMBERED_MAX, Rates
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, Api


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_so_much_at_once_and_then_so_much_a_second(clock: Clock) -> None:
    rates = Rates(50.0, 100.0, clock)
    assert [rates.take("a") for _ in range(100)] == [0.0] * 100
    assert rates.take("a") == pytest.approx(1 / 50)
    assert rates.take("b") == 0.0, "another one has his own"
    clock.s += 0.5
    assert [rates.take("a") for _ in range(25)] == [0.0] * 25
    assert rates.take("a") > 0
    clock.s += 1000
    assert [rates.take("a") for _ in range(101)][-2:] == [0.0, pytest.approx(1 / 50)]


def test_whoever_takes_much_waits_the_longer(clock: Clock) -> None:
    rates = Rates(1000.0, 1000.0, clock)
    assert rates.take("a", 10_000) == 0.0
    assert rates.take("a") == pytest.approx(9.001)
    clock.s += 9.0
    assert rates.take("a") > 0
    clock.s += 0.002
    assert rates.take("a") == 0.0


def test_without_a_limit(clock: Clock) -> None:
    assert Rates(None, 0.0, clock).take("a", 1e9) == 0.0


def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    rates = Rates(1.0, 1.0, clock)
    for number in range(REMEMBERED_MAX + 10):
        rates.take(str(number))
    assert rates.take(str(REMEMBERED_MAX + 9)) > 0
    assert rates.take("0") == 0.0, "it is forgotten"


def test_a_token_that_asks_too_often_has_to_wait_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "bus").mkdir()
    limits = {"rest_cherrypy": {"requests_per_s": 0.01, "events_per_s": 0.02}}
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker, options=limits) as api:
        token, other = api.token(*EVERYTHING), api.token(*EVERYTHING)
        assert [api.ask("GET", "/v1/whoami", token).status for _ in range(2)] == [200, 429]
        assert api.ask("POST", "/v1/events", other, '{"tag": "a"}').status == 201
        answer = api.ask("POST", "/v1/events", other, '{"tag": "a"}')
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 5
        assert answer.json["retry_s"] == int(answer.headers["retry-after"])


def test_events_are_counted_one_by_one(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker, options={"rest_cherrypy": {"events_per_s": 2}}) as api:
        token, other = api.token(*EVERYTHING), api.token(*EVERYTHING)
        lines = "".join(json.dumps({"tag": f"a/{number}"}) + "\n" for number in range(400))
        assert api.ask("POST", "/v1/events", token, lines, Content_Type="application/x-ndjson").status == 201
        late = api.ask("POST", "/v1/events", token, '{"tag": "a"}')
        assert (late.status, late.json["code"]) == (429, "too_many_requests")
        assert int(late.headers["retry-after"]) > 100
        assert api.ask("GET", "/v1/whoami", token).status == 200, "it may read"
        assert api.ask("POST", "/v1/events", other, '{"tag": "a"}').status == 201
