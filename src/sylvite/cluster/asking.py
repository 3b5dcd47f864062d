"""Asking the servers of NATS how they are: through the system account, which sees all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import nats.errors

from sylvite.cluster.connection import Connection
from sylvite.cluster.settings import ClusterSettings
from sylvite.errors import ClusterError

ANSWERS_S = 0.3
"""How long after the last answer another server is waited for: they do not say how many they are."""
FIRST_ANSWER_S = 2.0

Answer = TypeVar("Answer", bound=msgspec.Struct)


class ServerNamed(msgspec.Struct, frozen=True):
    """Who answers.  `time`: what its clock says, RFC 3339."""

    name: str
    ver: str = ""
    jetstream: bool = False
    time: str = ""


class Replica(msgspec.Struct, frozen=True):
    """A member of a group other than its leader.  `lag`: operations that it has not got yet."""

    name: str
    current: bool = False
    offline: bool = False
    lag: int = 0


class MetaGroup(msgspec.Struct, frozen=True):
    """The servers that decide together what streams there are, as one of them sees it."""

    name: str = ""
    leader: str = ""
    replicas: tuple[Replica, ...] = ()


class JetStreamData(msgspec.Struct, frozen=True):
    meta_cluster: MetaGroup | None = None


class JetStreamAnswer(msgspec.Struct, frozen=True):
    server: ServerNamed
    data: JetStreamData = JetStreamData()


class Leader(msgspec.Struct, frozen=True):
    """`following`: how many servers are up to date, the leader among them."""

    leader: str
    following: int


async def ask_all(
    connection: Connection, subject: str, kind: type[Answer], *, expected: int | None = None
) -> list[Answer]:
    """Return the answer of each server; of those that do not answer, nothing.  `expected`: do not wait for more.

    Raises:
        ClusterError: there is no connection, or an answer is of another kind.
    """
    inbox = connection.nats.new_inbox()
    answers: list[Answer] = []
    with connection.asking(f"asking {subject}"):
        subscription = await connection.nats.subscribe(inbox)  # type: ignore[reportUnknownMemberType] - nats-py's types are partial
        try:
            await connection.nats.publish(subject, b"{}", reply=inbox)
            while expected is None or len(answers) < expected:
                try:
                    message = await subscription.next_msg(timeout=ANSWERS_S if answers else FIRST_ANSWER_S)
                except nats.errors.TimeoutError:
                    break
                if not message.data:
                    break  # Nobody listens there: the user may not ask this.
                try:
                    answers.append(msgspec.json.decode(message.data, type=kind))
                except msgspec.DecodeError as error:
                    raise ClusterError(f"a server's answer to {subject} cannot be read: {error}") from error
        finally:
            await subscription.unsubscribe()
    return answers


async def ask_leader(servers: Sequence[str], credentials: Path) -> Leader | None:
    """Return who leads JetStream; None while nobody does, or nobody answers."""
    settings = ClusterSettings(servers=tuple(servers), credentials=str(credentials))
    try:
        async with await Connection.open(settings, name="sylvite cluster", timeout_s=2.0) as connection:
            return find_leader(
                await ask_all(connection, "$SYS.REQ.SERVER.PING.JSZ", JetStreamAnswer, expected=len(servers))
            )
    except ClusterError:
        return None


def find_leader(answers: Sequence[JetStreamAnswer]) -> Leader | None:
    """Return what the leader itself says, from what all of them say."""
    for answer in answers:
        group = answer.data.meta_cluster
        if group is not None and group.leader == answer.server.name:
            following = [replica for replica in group.replicas if replica.current and not replica.offline]
            return Leader(group.leader, 1 + len(following))
    return None
