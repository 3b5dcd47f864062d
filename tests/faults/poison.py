"""What a minion that was let in must not send, as a program of its own: it shares no loop with those who are disturbed.

    python -m tests.faults.poison PORT FINGERPRINT FOLDER SECONDS

`bad`, whose key is in FOLDER/bad, sends loads that are none, and a good one behind each; `rude`, of FOLDER/rude, says what no
uplink says.  For each line of its input it does all of that once, and says in a line what it has tried.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sylvite.auth.keyring_folder import KeyFolder, load_pair
from sylvite.auth.keys import Fingerprint, parse_fingerprint
from sylvite.core.event import pack_data
from sylvite.link.forwarding import EVENTS_MAX
from sylvite.link.messages import Facts, Prove, Taken, Up, encode
from tests.faults.link_agents import Agent, all_closed, come_back

DEEP = 100_000
AFTER = "load/after"


def _loads() -> Iterator[bytes]:
    """Loads of every kind that is none."""
    yield from (
        b"",
        b"\xc1",
        b"\xff" * 100,
        b"\x80",
        b"\x90",
        b"\xc0",
        b"\x01",
        b"\xa1a",
        b"\x81\xa1a",
        b"\xdf\xff\xff\xff\xff",
    )
    yield from (b"\x91" * DEEP, b"\x81\xa1a" * DEEP, b"\xc7\x01\x05x", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff")
    yield b"\x82\xa3tag\xa1a\xa3tag\xa1b"  # The same key twice.
    yield b"\x81\x01\x02"  # A key that is no text.
    yield b"\x82\xa3tag\xa2\xff\xfe\xa4data\x80"  # No UTF-8.
    values: tuple[Any, ...] = (
        None,
        True,
        -1,
        2**63,
        1.5,
        float("nan"),
        "",
        "x" * 300,
        "a\0b",
        "a\nb",
        [],
        {},
        [[]],
        b"\xff",
    )
    for value in values:
        for name in ("tag", "data", "events", "pretag", "id", "cmd", "jid"):
            yield msgspec.msgpack.encode(
                {"tag": "load/poison", "data": {}, name: value} | ({"return": 1} if name == "jid" else {})
            )
        yield msgspec.msgpack.encode({"events": [value], "pretag": value})
        yield msgspec.msgpack.encode({"cmd": "_return", "jid": value, "return": value})
    yield pack_data({"events": [{"tag": "load/poison"}] * (EVENTS_MAX + 1)})
    yield pack_data({"events": [{"tag": "load/poison", "data": {"pad": "x" * 100_000}}] * 9})
    yield pack_data({"tag": "load/poison", "data": "x" * (1024 * 1024 - 100)})


LOADS = tuple(_loads())
MESSAGES = 9


def _messages(agent: Agent) -> Iterator[bytes]:
    """What no uplink says: each ends the connection of who says it."""
    good = pack_data({"tag": "load/poison", "data": {}})
    yield encode(Up(agent.epoch, [(2**63, good)]))
    yield encode(Up(agent.epoch + 1, [(5, good), (5, good)]))
    yield encode(Prove(1, b""))
    yield encode(Taken(1, 1))
    yield encode(Facts(b"\xc1" * 300_000))
    yield struct.pack(">I", 2**32 - 1)
    yield struct.pack(">I", 1) + b"\xc8"
    yield struct.pack(">I", 3) + b"\x04\xc1\xc1"
    yield bytes(64)


async def _once(bad: Agent, rude: Agent, port: int, within_s: float) -> None:
    await come_back(bad, port)
    for load in LOADS:
        bad.send(load)
        bad.fire(AFTER, {})
    async with asyncio.timeout(within_s):
        await bad.all_taken()
    for message in _messages(rude):
        async with asyncio.timeout(within_s):
            await come_back(rude, port)
            rude.raw(message)
            await rude.gone()


async def _serve(bad: Agent, rude: Agent, port: int, within_s: float) -> None:
    loop, tried = asyncio.get_running_loop(), 0
    while await loop.run_in_executor(None, sys.stdin.readline):
        await _once(bad, rude, port, within_s)
        tried += len(LOADS) + MESSAGES
        sys.stdout.write(json.dumps({"tried": tried, "loads": len(LOADS), "bad_is_up": bad.is_up}) + "\n")
        sys.stdout.flush()
    for agent in (bad, rude):
        agent.leave()
    await all_closed()


def _agent(folder: Path, id_: str, master: Fingerprint) -> Agent:
    with KeyFolder(folder / id_ / "pki") as keys:
        return Agent(id_, load_pair(keys, "minion"), master)


def main(port: str, master: str, folder: str, within_s: str) -> None:
    bad, rude = (_agent(Path(folder), id_, parse_fingerprint(master)) for id_ in ("bad", "rude"))
    asyncio.run(_serve(bad, rude, int(port), float(within_s)))


if __name__ == "__main__":
    main(*sys.argv[1:])
