"""Leaving: what a master has left in a cluster is taken away, so that nobody waits for it, once its bridge has ended."""

from __future__ import annotations

import asyncio

import msgspec

from sylvite.cluster.claim import PART, Claim, Claims
from sylvite.cluster.connection import Connection
from sylvite.cluster.leases import Leases
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.shared import Shared, bucket_name, decode, encode
from sylvite.cluster.stream import Stream
from sylvite.errors import ClusterError

LOOK_S = 0.5


class Removed(msgspec.Struct, frozen=True):
    """`entries`: how many it had in the bucket of what masters share.  `leases`: which it held."""

    entries: int
    leases: tuple[str, ...]


async def forget(settings: ClusterSettings, node: str, *, wait_s: float = 0.0) -> Removed:
    """Take away what a master has left.  `wait_s`: how long its bridge has to end.

    Raises:
        ClusterError: it is there, or nothing is known of it; or the servers do not answer, or refuse.
    """
    async with await Connection.open(settings, name="sylvite cluster leave") as connection:
        await _wait_until_gone(connection, node, wait_s)
        claims, shared = Claims(connection, node), Shared(connection, node)
        seen = await claims.read()
        entries = await _entries(connection, node)
        if not (seen.number or entries or await Stream(connection, node).last_of_ours()):
            raise ClusterError(f"nothing is known of a master {node!r} in the cluster {settings.name}")
        for part, item in entries:
            await shared.delete(part, item)
        leases = await Leases(connection).drop(node)
        if await claims.write(Claim(""), seen.number) is None:
            raise ClusterError(f"the master {node!r} has come back just now")
        return Removed(len(entries), tuple(leases))


async def _wait_until_gone(connection: Connection, node: str, wait_s: float) -> None:
    claims, until_s = Claims(connection, node), asyncio.get_running_loop().time() + wait_s
    while (holder := await claims.holder()) is not None:
        if asyncio.get_running_loop().time() >= until_s:
            raise ClusterError(
                f"the master {node!r} has not left: its bridge is there, {holder.where}. Let that master leave, or stop it for good, "
                "and then take away what it has left: `sylvite cluster leave --node`"
            )
        await asyncio.sleep(LOOK_S)


async def _entries(connection: Connection, node: str) -> list[tuple[str, str]]:
    """Return part and item of all entries of a master, but its claim."""
    bucket = bucket_name(connection.settings)
    await Shared(connection, node).open()
    with connection.asking(f"looking what {node} shares"):
        info = await connection.jetstream.stream_info(f"KV_{bucket}", subjects_filter=f"$KV.{bucket}.{encode(node)}.>")
    found: list[tuple[str, str]] = []
    for subject in sorted(info.state.subjects or {}):
        part, item = subject.split(".")[3:5]
        if part != PART:
            found.append((part, decode(item)))
    return found
