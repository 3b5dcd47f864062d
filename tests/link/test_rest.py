"""Who sends what is refused is not listened to for a while; others are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sylvite.auth.keys import make_pair
from sylvite.link import minion_wire
from tests.faults.link_agents import Agent, all_closed, come_back
from tests.link.nodes import Node, hurry, play, until


@pytest.mark.parametrize(("times", "is_heard"), [(1e9, False), (0.0, True)])
def test_after_a_refusal_a_minion_has_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: float, *, is_heard: bool
) -> None:
    """Its load is taken, so that it need not be said again; what comes next waits in the socket."""
    hurry(monkeypatch)
    monkeypatch.setattr(minion_wire, "REST_TIMES", times)

    async def scene(node: Node) -> None:
        async with node.master():
            agents = [Agent(id_, make_pair(), node.master_pair.fingerprint) for id_ in ("good", "bad")]
            for agent in agents:
                node.keyring.expect(agent.id, agent.pair.fingerprint, 0)
            good, bad = agents
            await asyncio.gather(*(come_back(agent, node.port) for agent in agents))
            bad.send(b"\xc1")
            await bad.all_taken()
            bad.fire("load/next", {})
            if is_heard:
                await bad.all_taken()
            for number in range(20):
                good.fire("load/good", {"n": number})
                await good.all_taken()
            assert len(bad.taken_s) == 1 + is_heard
            assert bad.is_up
            for agent in agents:
                agent.leave()
            await until(lambda: not any(agent.is_up for agent in agents))
            await all_closed()

    play(tmp_path, scene)
