"""Reseeding: asking other masters to send their logs again, as their bridges also ask each other where something is missing."""

from __future__ import annotations

from collections.abc import Sequence

from sylvite.cluster.connection import Connection
from sylvite.cluster.overview import listen
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import say_subject
from sylvite.cluster.words import Again, encode
from sylvite.errors import ClusterError


async def reseed(settings: ClusterSettings, nodes: Sequence[str], offset: int) -> list[str]:
    """Ask masters to send what their logs have from an offset on; return who was asked.  `nodes`: none: all others that are here.

    They send no more of it than the stream keeps, and who has it already takes nothing twice.

    Raises:
        ClusterError: one of them is not here, or no server answers.
    """
    async with await Connection.open(settings, name="sylvite cluster reseed") as connection:
        here = set(await listen(connection, set(nodes))) - {settings.node}
        if missing := [node for node in nodes if node not in here]:
            raise ClusterError(
                f"{', '.join(missing)}: no such master is here but this one, whom another one has to ask; "
                f"here are {', '.join(sorted(here)) or 'none'}"
            )
        asked = sorted(set(nodes) or here)
        for node in asked:
            with connection.asking(f"asking {node}"):
                word = encode(Again(node, offset))
                await connection.nats.publish(say_subject(settings, settings.node), word)
        with connection.asking("asking them"):
            await connection.nats.flush()
    return asked
