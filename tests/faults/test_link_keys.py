"""C-07: minions whose keys are pending, rejected, denied, revoked, deleted or another holder's, and that send all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sylvite import Event
from sylvite.auth.enrolment import Asking
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import MinionId, State
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.core.event import pack_data
from sylvite.errors import ConnectionLost
from sylvite.link.gatekeeper import Gatekeeper
from sylvite.link.master_end import MasterEnd
from sylvite.link.messages import Up, encode
from tests.faults.link_agents import Agent, all_closed
from tests.faults.link_controls import never_look_again
from tests.faults.report import control, report
from tests.link.nodes import JID, Node, play, until

ENDS_WITHIN_S = 5.0
"""Also on a machine that runs other tests."""
ENDS_SOON_S = 1.0
"""The target, in the long form."""
EAGER_LOADS = 50


class Eager(Agent):
    """Sends loads with its proof, and does not wait until it is let in.  `said`: how many."""

    said = 0

    def data_received(self, data: bytes) -> None:
        loads = [(number, pack_data({"tag": "load/liar", "data": {"id": self.id}})) for number in range(EAGER_LOADS)]
        super().data_received(data)
        if self.uplink.verdict is None:  # It has answered the challenge, and nothing else was heard yet.
            self.raw(encode(Up(self.epoch, loads)))
            self.said += len(loads)


async def _all_of(bus: AsyncClient, tag: str) -> list[Event]:
    return [event async for event in await bus.subscribe(tag, since="oldest", until_end=True)]


async def _asked(agent: Agent, port: int) -> None:
    """Let it ask; whatever becomes of it."""
    try:
        await agent.connect(port)
    except (ConnectionLost, OSError):
        pass
    agent.leave()


def _now() -> int:
    return time.time_ns()


async def _in_every_state(node: Node) -> dict[str, KeyPair]:
    """Bring keys into all states in which they do not count; return them by the id that they ask for."""
    pairs = {id_: make_pair() for id_ in ("waits", "rejected", "revoked", "deleted", "denied")}
    for id_, pair in pairs.items():
        await _asked(Agent(id_, make_pair() if id_ == "denied" else pair, node.master_pair.fingerprint), node.port)
    keyring = node.keyring
    keyring.reject("rejected", pairs["rejected"].fingerprint, _now())
    for id_ in ("revoked", "deleted"):
        keyring.accept(id_, pairs[id_].fingerprint, _now())
    await until(lambda: all(keyring.key(id_, pairs[id_].fingerprint).counts for id_ in ("revoked", "deleted")))
    keyring.revoke("revoked", pairs["revoked"].fingerprint, _now())
    keyring.delete("deleted", pairs["deleted"].fingerprint, _now())
    return pairs


async def _lie(node: Node) -> tuple[int, int]:
    """Have minions whose keys do not count send; return how many were let in, and how many loads they have sent."""
    pairs = await _in_every_state(node)
    let_in = said = 0
    for _ in range(3):
        for id_, pair in pairs.items():
            liar = Eager(id_, pair, node.master_pair.fingerprint)
            await _asked(liar, node.port)
            let_in += liar.uplink.verdict is not None and liar.uplink.verdict.state == State.ACCEPTED
            said += liar.said
    return let_in, said


async def _take_back(node: Node, end: MasterEnd, take_back: Callable[[], object]) -> tuple[float, bool]:
    """Take back the key of a minion that sends all the time; return when its session has ended, and whether it came back."""
    agent = Agent("alpha", node.minion_pair, node.master_pair.fingerprint)
    await agent.connect(node.port)
    firing = asyncio.create_task(_fire_on(agent))
    await until(lambda: len(agent.taken_s) > 20)
    take_back()
    began = time.monotonic()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await agent.gone()
        took_s = time.monotonic() - began
    except TimeoutError:
        took_s = ENDS_WITHIN_S * 2
    firing.cancel()
    agent.leave()
    again = Agent("alpha", node.minion_pair, node.master_pair.fingerprint)
    await _asked(again, node.port)
    assert again.uplink.verdict is not None
    return took_s, again.uplink.verdict.state == State.ACCEPTED


async def _fire_on(agent: Agent) -> None:
    number = 0
    while agent.is_up:
        agent.fire("load/under", {"n": number})
        number += 1
        await asyncio.sleep(0.005)


async def _another_holder(node: Node, bus: AsyncClient) -> dict[str, float]:
    """Let the id be another holder's, whose outbox looks just like the former one's; return what went wrong."""
    holders = [Agent("beta", make_pair(), node.master_pair.fingerprint) for _ in range(2)]
    wrong: dict[str, float] = dict.fromkeys(("swallowed", "old_jobs_seen", "old_jobs_answered"), 0.0)
    for number, holder in enumerate(holders):
        node.keyring.expect("beta", holder.pair.fingerprint, _now())
        holder.epoch = 7
        await until_let_in(holder, node.port)
        if not number:
            await bus.publish(f"salt/job/{JID}/new", {"jid": JID, "minions": ["beta"], "missing": []})
            await bus.publish(f"salt/job/{JID}/publish", {"jid": JID, "fun": "test.ping"})
            await until(lambda holder=holder: bool(holder.uplink.downs))
        for each in range(10):
            holder.fire(f"load/holder{number}", {"n": each})
        if number:
            holder.send(pack_data({"cmd": "_return", "jid": JID, "return": True, "fun": "test.ping"}))
        await holder.all_taken()
        wrong["swallowed"] += 10 - len(await _all_of(bus, f"load/holder{number}"))
        wrong["old_jobs_seen"] += len(holder.uplink.downs) if number else 0
        holder.leave()
        if not number:
            node.keyring.delete("beta", holder.pair.fingerprint, _now())
    wrong["old_jobs_answered"] += len(await _all_of(bus, f"salt/job/{JID}/ret/"))
    return wrong


async def until_let_in(agent: Agent, port: int) -> None:
    async with asyncio.timeout(30):
        while not agent.is_up:
            await _connect_once(agent, port)


async def _connect_once(agent: Agent, port: int) -> None:
    try:
        await agent.connect(port)
    except (ConnectionLost, OSError):
        pass
    if not agent.is_up:
        await asyncio.sleep(0.05)


def _change_keys(tmp_path: Path, *, deletions: int = 1, without: str | None = None) -> None:
    counters: dict[str, float] = {}

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master() as end, AsyncClient.connect(node.master_broker.socket) as bus:
            counters["let_in_without_a_key"], lies = await _lie(node)
            assert lies >= EAGER_LOADS * 15
            took: list[float] = []
            back = 0
            for take_back in (*[_delete] * deletions, _revoke):
                await until_let_in(agent := Agent("alpha", node.minion_pair, node.master_pair.fingerprint), node.port)
                agent.leave()
                took_s, is_back = await _take_back(node, end, lambda take_back=take_back: take_back(node))
                took.append(took_s)
                back += is_back
                if take_back is _delete:
                    await until(lambda: State.PENDING in {key.state for key in node.keyring.all_keys("alpha")})
                    node.keyring.accept("alpha", node.minion_pair.fingerprint, _now())
            counters["came_back"] = back
            counters.update(await _another_holder(node, bus))
            counters["events_of_liars"] = len(await _all_of(bus, "load/liar"))
            counters["ended_after_s"] = round(max(took), 2)
            await all_closed()

    play(tmp_path, scene)
    limits = dict.fromkeys(counters, 0.0) | {"ended_after_s": ENDS_WITHIN_S if deletions == 1 else ENDS_SOON_S}
    report("C-07", seed=0, runs=15 + deletions + 1 + 2, counters=counters, target=limits, without=without)


def _delete(node: Node) -> None:
    node.keyring.delete("alpha", node.minion_pair.fingerprint, _now())


def _revoke(node: Node) -> None:
    node.keyring.revoke("alpha", node.minion_pair.fingerprint, _now())


def test_only_keys_that_count_are_heard(tmp_path: Path) -> None:
    """Five states, each with minions that do not wait for an answer; keys taken back under load; an id with a new holder."""
    _change_keys(tmp_path)


@pytest.mark.long
def test_a_session_whose_key_is_taken_back_ends_within_a_second(tmp_path: Path) -> None:
    """The same, with twenty keys that are taken back."""
    _change_keys(tmp_path, deletions=19)


def test_a_master_that_looks_at_keys_once_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    never_look_again(monkeypatch.setattr)
    with control("C-07", without="looking at keys again", match='"ended_after_s": 10'):
        _change_keys(tmp_path, without="looking at keys again")


def test_a_key_that_is_taken_back_while_its_minion_comes_in_ends_its_session_too(tmp_path: Path) -> None:
    """Judged before, and among the sessions after the first look at them: the second one finds it."""
    pair = make_pair()
    with Keyring.open(tmp_path / "keys", make=True) as keyring:
        keyring.expect("alpha", pair.fingerprint, _now())
        keeper = Gatekeeper(keyring)
        asking = Asking(MinionId("alpha"), pair.public, None)
        keeper.judge(asking, "127.0.0.1")
        keyring.announced(keyring.due(10)[-1].number)
        judgement, _ = keeper.judge(asking, "127.0.0.1")
        assert judgement.identity is not None
        keyring.revoke("alpha", pair.fingerprint, _now())
        assert keeper.ended([]) == []
        assert keeper.ended([judgement.identity]) == [judgement.identity]
        assert keeper.ended([judgement.identity]) == []
