"""Overview: how a cluster is: its servers, its stream, its masters, who holds which lease, how far groups are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from nats.js import api
from nats.js.errors import NotFoundError

from sylvite.cluster.audit import SAY_S
from sylvite.cluster.claim import claims_of_all
from sylvite.cluster.connection import Connection
from sylvite.cluster.examining import ask_system, reach_each
from sylvite.cluster.facts import ServerFacts
from sylvite.cluster.group_overview import GroupState, look_at_groups
from sylvite.cluster.leases import Held, Leases, bucket_name
from sylvite.cluster.master_key import keys_of_masters, say_difference
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import node_of, say_subject, stream_name
from sylvite.cluster.words import At, decode
from sylvite.errors import ClusterError

LISTEN_S = SAY_S + 0.5
"""How long the masters are listened to, who say every SAY_S how far they are."""
LISTEN_MAX_S = 3 * LISTEN_S
"""And how long one is waited for that the stream knows, before it counts as silent."""


Found = TypeVar("Found")


class ServerState(msgspec.Struct, frozen=True):
    """`error`: why it does not answer; empty where it does."""

    url: str
    name: str
    version: str
    error: str


class ReplicaState(msgspec.Struct, frozen=True):
    """`lag`: how many operations it has not got yet."""

    name: str
    leads: bool
    current: bool
    lag: int


class StreamStatus(msgspec.Struct, frozen=True):
    name: str
    messages: int
    bytes: int
    first: int
    last: int
    replicas: tuple[ReplicaState, ...]


class MasterState(msgspec.Struct, frozen=True):
    """`heard`: its bridge has said something while we listened.  `left`: it has left the cluster.  `until`: the stream has its log below this offset, of
    `epoch`.  `messages`: so many of it are in the stream.  `waiting`: so many events of its log may still have to get there; None:
    it cannot say."""

    node: str
    heard: bool
    epoch: int | None
    until: int | None
    messages: int
    left: bool = False
    waiting: int | None = None


class LeaseState(msgspec.Struct, frozen=True):
    name: str
    node: str
    life_s: float
    fence: str


class Overview(msgspec.Struct, frozen=True):
    """`leader`: who leads JetStream; None where that was not asked.  `stream`: None where no master has made it yet.
    `problems`: what could not be found out, as when a server has just died, and who leads the stream is not decided yet."""

    cluster: str
    servers: tuple[ServerState, ...]
    leader: str | None
    stream: StreamStatus | None
    masters: tuple[MasterState, ...]
    leases: tuple[LeaseState, ...]
    groups: tuple[GroupState, ...]
    problems: tuple[str, ...]


async def look(settings: ClusterSettings, system: Path | None) -> Overview:
    """Return how a cluster is; it takes some seconds.  `system`: credentials of a user of the system account.

    Raises:
        ClusterError: no server can be reached.
    """
    reached = await reach_each(settings)
    servers = tuple(_server(url, seen) for url, seen in zip(settings.servers, reached, strict=True))
    leader = None if system is None else (await ask_system(settings, system))[1]
    async with await Connection.open(settings, name="sylvite cluster status", unfit_too=True) as connection:
        found = await asyncio.gather(
            _look_at_stream(connection), _held(connection), look_at_groups(connection), return_exceptions=True
        )
        problems: list[str] = []
        stream, counts = _or_problem(found[0], (None, dict[str, int]()), problems)
        gone = await _who_has_left(connection, problems)
        heard = await listen(connection, set(counts) - gone)
    leases = _or_problem(found[1], list[Held](), problems)
    groups = _or_problem(found[2], tuple[GroupState, ...](), problems)
    nodes = sorted({*counts, *heard})
    return Overview(
        settings.name,
        servers,
        leader,
        stream,
        tuple(_master(node, counts.get(node, 0), heard.get(node), left=node in gone) for node in nodes),
        tuple(LeaseState(each.name, each.node, each.life_s, str(each.fence)) for each in leases),
        groups,
        tuple(problems),
    )


def _or_problem(found: Found | BaseException, usual: Found, problems: list[str]) -> Found:
    """Return what was found; where that went wrong, note why."""
    if isinstance(found, ClusterError):
        problems.append(str(found))
        return usual
    if isinstance(found, BaseException):
        raise found
    return found


def _server(url: str, seen: ServerFacts | ClusterError) -> ServerState:
    if isinstance(seen, ClusterError):
        return ServerState(url, "", "", str(seen))
    return ServerState(url, seen.name, seen.version or "", "")


def _master(node: str, messages: int, at: At | None, *, left: bool) -> MasterState:
    known = at is not None and bool(at.epoch)
    return MasterState(
        node,
        at is not None,
        at.epoch if at and known else None,
        at.until if at and known else None,
        messages,
        left and at is None,
        at.waiting if at else None,
    )


async def _who_has_left(connection: Connection, problems: list[str]) -> set[str]:
    """Look at what the masters say of themselves; note where their keys differ."""
    try:
        claims = await claims_of_all(connection)
        if claims and (difference := say_difference(await keys_of_masters(connection))):
            problems.append(difference)
        return {node for node, claim in claims.items() if claim.has_left}
    except ClusterError as error:
        problems.append(str(error))
        return set()


async def _look_at_stream(connection: Connection) -> tuple[StreamStatus | None, dict[str, int]]:
    """Return how the stream is, and how many messages of each master it has."""
    name = stream_name(connection.settings)
    with connection.asking(f"looking at the stream {name}"):
        try:
            info = await connection.jetstream.stream_info(name, subjects_filter=f"{connection.settings.name}.log.*")
        except NotFoundError:
            return None, {}
    state = info.state
    found = StreamStatus(
        name, state.messages, state.bytes, state.first_seq, state.last_seq, tuple(_replicas(info.cluster))
    )
    return found, {node_of(subject): count for subject, count in (state.subjects or {}).items()}


def _replicas(group: api.ClusterInfo | None) -> Sequence[ReplicaState]:
    if group is None:
        return ()
    leader = [ReplicaState(group.leader, leads=True, current=True, lag=0)] if group.leader else []
    others = [
        ReplicaState(peer.name or "", leads=False, current=bool(peer.current) and not peer.offline, lag=peer.lag or 0)
        for peer in group.replicas or []
    ]
    return leader + sorted(others, key=lambda each: each.name)


async def listen(connection: Connection, known: set[str]) -> dict[str, At]:
    """Return what each master says of itself.  `known`: who is waited for."""
    heard: dict[str, At] = {}
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with connection.asking("listening to the masters"):
        subscription = await connection.nats.subscribe(say_subject(connection.settings))  # type: ignore[reportUnknownMemberType] - nats-py's types are partial
        try:
            while True:
                until_s = began_s + (LISTEN_S if known <= set(heard) else LISTEN_MAX_S)
                if (left_s := until_s - loop.time()) <= 0:
                    break
                with suppress(TimeoutError):
                    message = await subscription.next_msg(timeout=min(left_s, LISTEN_S))
                    if isinstance(word := decode(message.data), At):
                        heard[node_of(message.subject)] = word
        finally:
            await subscription.unsubscribe()
    return {node: at for node, at in heard.items() if not at.leaving}


async def _held(connection: Connection) -> list[Held]:
    with connection.asking("looking at the leases"):
        try:
            await connection.jetstream.stream_info(f"KV_{bucket_name(connection.settings)}")
        except NotFoundError:
            return []  # Nobody has wanted one yet; looking makes no bucket.
    return await Leases(connection).held()
