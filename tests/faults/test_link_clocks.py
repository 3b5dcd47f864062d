"""C-13: clocks that are ten years off, or jump back and forth, on either side of a link."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from sylvite.auth.enrolment import Token
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import Key, State
from sylvite.auth.keys import make_pair
from sylvite.errors import ConnectionLost
from sylvite.link import gatekeeper, master_end, minion_end, minion_wire
from tests.faults.link_agents import Agent, all_closed
from tests.faults.report import control, report
from tests.link.nodes import Node, buses, hurry, play, take, until

DAY_S = 86_400.0
FORGOTTEN_WITHIN_S = 5.0
YEARS_S = 3652.5 * DAY_S
JUMPS = (0.0, YEARS_S, -YEARS_S, DAY_S, -DAY_S, 1.0, -1.0, 3600.0, -3600.0, 0.0)


class Clock:
    """Stands for the module `time`, where the clock on the wall may be wrong."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def time(self) -> float:
        return time.time() + self.shift_s

    def time_ns(self) -> int:
        return time.time_ns() + int(self.shift_s * 1e9)

    def monotonic(self) -> float:
        return time.monotonic()

    def thread_time(self) -> float:
        return time.thread_time()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> tuple[Clock, Clock]:
    """The clock of the master, and that of the minion."""
    hurry(monkeypatch)
    master, minion = Clock(), Clock()
    sides: dict[ModuleType, Clock] = {
        gatekeeper: master, master_end: master, minion_wire: master, minion_end: minion,
    }  # fmt: skip
    for module, clock in sides.items():
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(minion_end, "PING_S", 0.1)
    return master, minion


async def _ask(node: Node, id_: str, token: Token) -> bool:
    """Ask to be let in with a token, as often as it takes; return whether that was done."""
    agent = Agent(id_, make_pair(), node.master_pair.fingerprint)
    agent.token = token
    for _ in range(3):
        with suppress(ConnectionLost, OSError):
            await agent.connect(node.port)
        verdict = agent.uplink.verdict
        agent.leave()
        if verdict is not None and verdict.state == State.ACCEPTED:
            return True
        await asyncio.sleep(0.1)
    return False


def _make_token(node: Node, id_: str, now_ns: int) -> Token:
    token = Token.new(node.master_pair.fingerprint)
    node.keyring.add_token(id_, token.mac(id_), now_ns, now_ns + int(3600e9))
    return token


def _jump(tmp_path: Path, clocks: tuple[Clock, Clock], jumps: int, *, without: str | None = None) -> None:
    master_clock, minion_clock = clocks
    counters: dict[str, float] = {}

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master() as end, node.minion() as minion_end_, buses(node) as (master, minion):
            await until(lambda: minion_end_.is_up)
            await until(lambda: "alpha" in end.sessions)
            session, number = end.sessions["alpha"], 0
            for jump in range(jumps):
                clock = clocks[jump % 2]
                clock.shift_s = JUMPS[jump // 2 % len(JUMPS)]
                await asyncio.sleep(0.02)
                await node.fire(minion, "load/clock", {"n": number})
                number += 1
            found = [event.data["data"]["n"] for event in await take(master, number, "load/clock")]
            counters["reordered"] = int(found != list(range(number)))
            counters["sessions_ended"] = int(end.sessions.get("alpha") is not session)
            key = node.keyring.key("alpha", node.minion_pair.fingerprint)
            counters["keys_lost"] = int(key.state is not State.ACCEPTED)
            counters["tokens_come_back_to_life"] = await _tokens(node, master_clock)
        for shift_s in (YEARS_S, -YEARS_S):
            master_clock.shift_s, minion_clock.shift_s = shift_s, -shift_s
            async with node.master(), node.minion(), buses(node) as (master, minion):
                await node.fire(minion, "load/clock", {"n": number})
                number += 1
                found = [event.data["data"]["n"] for event in await take(master, number, "load/clock")]
                counters["reordered"] += found != list(range(number))

    play(tmp_path, scene)
    report("C-13", seed=0, runs=jumps + 2, counters=counters, without=without)


async def _tokens(node: Node, clock: Clock) -> int:
    """Let tokens come of age by a clock that is wrong, and be used when it is right again; return how many let somebody in."""
    clock.shift_s = 0.0
    assert await _ask(node, "fresh", _make_token(node, "fresh", clock.time_ns())), "a token that is good lets nobody in"
    old = _make_token(node, "old", clock.time_ns())
    clock.shift_s = YEARS_S
    with suppress(TimeoutError):
        async with asyncio.timeout(FORGOTTEN_WITHIN_S):
            await until(lambda: "old" not in node.keyring.tokens())
    clock.shift_s = 0.0
    alive = await _ask(node, "old", old)
    clock.shift_s = YEARS_S
    future = _make_token(node, "future", clock.time_ns())
    clock.shift_s = 0.0
    from_the_future = await _ask(node, "future", future)
    await all_closed()
    return alive + from_the_future


def test_clocks_that_jump_end_no_session_and_bring_no_token_back(tmp_path: Path, clocks: tuple[Clock, Clock]) -> None:
    """A hundred jumps, of a second up to ten years, on both sides; and sessions that begin while both clocks are wrong."""
    _jump(tmp_path, clocks, 100)


def test_a_token_that_is_only_looked_at_when_it_is_used_is_found_out(
    tmp_path: Path, clocks: tuple[Clock, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: it is too old for as long as the clock says so."""

    def nothing(*_: object) -> list[Key]:
        return []

    monkeypatch.setattr(Keyring, "expire", nothing)
    with control("C-13", without="forgetting tokens for good", match='"tokens_come_back_to_life": [1-9]'):
        _jump(tmp_path, clocks, 4, without="forgetting tokens for good")
