"""Master key: whether all masters of a cluster have the same one, as minions that trust one of them will want of the next.

NODE.master.key     the entry of the bucket of what masters share (shared.py): the fingerprint of the master's key
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from sylvite.client.async_client import AsyncClient
from sylvite.cluster.connection import REQUEST_S, Connection
from sylvite.cluster.ending import first_to_end
from sylvite.cluster.shared import Entry, Shared
from sylvite.cluster.telling import Telling
from sylvite.errors import ClusterUnreachable

PART, ITEM = "master", "key"
LOOK_S = 2.0


class MasterKey:
    """`look`: returns the fingerprint of this master's key; empty where there is none yet.  `share`: for sharing.py."""

    def __init__(self, bus: AsyncClient, look: Callable[[], str]) -> None:
        self._telling, self._look = Telling(bus), look
        self._told: set[tuple[str, str, str]] = set()

    async def share(self, shared: Shared) -> None:
        """Say which key we have, and tell where another master has a different one, until this is cancelled.

        Raises:
            SylviteError: the servers fail.
        """
        keys: dict[str, str] = {}
        await first_to_end(
            self._telling.run(), _watch(shared, keys), self._compare(shared, keys), name="cluster: keys of masters"
        )

    async def _compare(self, shared: Shared, keys: dict[str, str]) -> None:
        while True:
            ours = self._look()
            if ours and keys.get(shared.node) != ours:
                await shared.put(PART, ITEM, ours.encode())
                keys[shared.node] = ours
            for node, theirs in sorted(keys.items()):
                if ours and theirs != ours and (node, theirs, ours) not in self._told:
                    self._told.add((node, theirs, ours))
                    self._telling.tell("keys_differ", node, node=node, key=theirs, ours=ours)
            await asyncio.sleep(LOOK_S)


async def _watch(shared: Shared, keys: dict[str, str]) -> None:
    async with aclosing(shared.watch(PART, keys.clear)) as entries:
        async for entry in entries:
            _note(keys, entry)


def _note(keys: dict[str, str], entry: Entry | None) -> None:
    if entry is None or entry.item != ITEM:
        return
    if entry.value is None:
        keys.pop(entry.node, None)
    else:
        keys[entry.node] = entry.value[:200].decode("ascii", "replace")


async def keys_of_masters(connection: Connection) -> dict[str, str]:
    """Return which key each master says that it has, where there is a bucket.  Raises ClusterError."""
    keys: dict[str, str] = {}
    try:
        async with (
            asyncio.timeout(2 * REQUEST_S),
            aclosing(Shared(connection, connection.settings.node or "status").watch(PART)) as entries,
        ):
            async for entry in entries:
                if entry is None:
                    break
                _note(keys, entry)
    except TimeoutError as error:
        raise ClusterUnreachable(connection.servers, "looking at the keys of masters: no answer in time") from error
    return keys


def say_difference(keys: dict[str, str]) -> str:
    """Return what is wrong with the keys of the masters; nothing where they are the same."""
    if len(set(keys.values())) < 2:
        return ""
    listed = ", ".join(f"{node} has {key}" for node, key in sorted(keys.items()))
    return (
        f"the masters have different keys: {listed}. Minions that trust one of them do not trust the other: "
        "copy master.key and master.pub from the keys of one to the others"
    )
