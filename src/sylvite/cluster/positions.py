"""Positions: how far a group has the log of each master, in JetStream's key-value store.

NAME_groups             the bucket; NAME is the cluster's
GROUP.begin             where the group began, for masters that it has not read yet
GROUP.part.NODE         how far it has the log of NODE, and whose tenure has written that

An entry is written only where it still is as whoever writes has seen it, and never by an earlier tenure than the last one: so a
member that has lost its lease cannot move a position back, nor forward.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import NamedTuple, TypeVar, cast

import msgspec
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from sylvite.cluster.buckets import bucket_config, check_bucket, may_read_and_write
from sylvite.cluster.carried import Forged, Place, decode
from sylvite.cluster.connection import Connection
from sylvite.cluster.part import NUMBER_MAX, Position
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.shared import decode as decode_word
from sylvite.cluster.shared import encode as encode_word
from sylvite.cluster.stream import Stream, log_subject, node_of
from sylvite.cluster.tenure import Fence, Guard
from sylvite.errors import ClusterUnfit, LeaseLost

BYTES_MAX = 64 * 1024 * 1024
VALUE_BYTES_MAX = 64 * 1024
Kind = TypeVar("Kind")
logger = logging.getLogger("sylvite.cluster.groups")


class Entry(msgspec.Struct, frozen=True):
    """`offered`: up to which message of the stream somebody may have been handed out what is not done.  `fence`: of the tenure
    that has written this, and `node`, its master."""

    position: Position
    offered: int
    fence: Fence
    node: str


class Begin(msgspec.Struct, frozen=True):
    """`positions`: of the masters that were known; `usual`: of all others.  `offered`: as in an entry."""

    positions: dict[str, Position]
    usual: Position
    offered: int = 0


class Found(NamedTuple):
    """An entry with its revision; None where there is none."""

    entry: Entry | None
    revision: int


def bucket_name(settings: ClusterSettings) -> str:
    return f"{settings.name}_groups"


def part_name(group: str, node: str) -> str:
    """Return what the lease of a part is called."""
    return f"group.{group}.{encode_word(node)}"


def may_publish(settings: ClusterSettings) -> tuple[str, ...]:
    """Return the subjects that the user of a master needs to publish to, for groups."""
    return may_read_and_write(bucket_name(settings))


class Positions:
    """The bucket, over a connection that somebody else closes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._name = bucket_name(self._settings)
        self._is_open = False

    async def begin(
        self, group: str, *, newest: bool, known: dict[str, Position], places: Mapping[str, Place]
    ) -> Begin:
        """Return where a group began; where it has not yet, it does now.

        `newest`: behind what is in the stream; else with the first message there.  `places`: another place than that, in the log
        of a master.  `known`: what we know of a group that has begun before, and whose entries are gone.

        Raises:
            ClusterUnfit: the bucket is none of ours.
            ClusterError: the servers do not answer, or refuse.
        """
        key = f"{group}.begin"
        await self._open()
        with self._connection.asking(f"reading the group {group}"):
            found = await self._get(key, Begin)
        if found[0] is not None:
            return found[0]
        if known:
            begin = Begin(dict(known), Position(), NUMBER_MAX)
        else:
            begin = await self._newest() if newest else Begin({}, Position())
        if not known:
            now_ns = time.time_ns()
            begin.positions.update((node, Position((place,), now_ns)) for node, place in places.items())
        if known:
            logger.warning(
                "the positions of the group %s are gone; they are written again as they are known here", group
            )
        with self._connection.asking(f"beginning the group {group}"):
            try:
                await self._put(key, begin, found[1])
            except KeyWrongLastSequenceError:
                pass  # Somebody else was faster.
            return (await self._get(key, Begin))[0] or begin

    async def read(self, group: str, node: str) -> Found:
        """Raises ClusterError."""
        await self._open()
        with self._connection.asking(f"reading the group {group}"):
            return Found(*await self._get(_key(group, node), Entry))

    async def claim(self, group: str, node: str, fence: Fence, begin: Position, offered: int = 0) -> tuple[Entry, int]:
        """Take over a part with a tenure; return its entry, and the revision.  `begin`, `offered`: where there is none yet.

        Raises:
            LeaseLost: a later tenure has it.
            ClusterError: it may be taken over, or not.
        """
        while True:
            found, revision = await self.read(group, node)
            if found is not None:
                Guard(found.fence).check(part_name(group, node), fence)
            was = (begin, offered) if found is None else (found.position, found.offered)
            entry = Entry(*was, fence, self._settings.node)
            try:
                return entry, await self.write(group, node, entry, revision)
            except LeaseLost:
                # Whoever had it before has moved it since, for the last time; or has a later tenure, as the next look says.
                continue

    async def write(self, group: str, node: str, entry: Entry, revision: int) -> int:
        """Write an entry in place of that of a revision; return its own.

        Raises:
            LeaseLost: another tenure has written since.
            ClusterError: it may be written, or not; the same may be written again.
        """
        await self._open()
        with self._connection.asking(f"writing a position of the group {group}"):
            try:
                return await self._put(_key(group, node), entry, revision)
            except KeyWrongLastSequenceError as error:
                there = Found(*await self._get(_key(group, node), Entry))
                if there.entry == entry:
                    return there.revision  # It was written, and the answer was lost.
                by = f"{there.entry.node} has taken over since" if there.entry else "its position is gone"
                raise LeaseLost(part_name(group, node), by) from error

    async def groups(self) -> dict[str, dict[str, Entry]]:
        """Return all groups, and how far each has the log of each master.  Raises ClusterError."""
        name = self._name
        with self._connection.asking(f"reading the groups in {name}"):
            try:
                info = await self._connection.ask(
                    lambda jetstream: jetstream.stream_info(f"KV_{name}", subjects_filter=f"$KV.{name}.>")
                )
            except NotFoundError:
                return {}  # Nobody has read as a group yet; looking makes no bucket.
        await self._open()
        groups: dict[str, dict[str, Entry]] = {}
        with self._connection.asking(f"reading the groups in {name}"):
            for subject in sorted(info.state.subjects or {}):  # That of a group's begin comes first.
                match subject.split(".")[2:]:
                    case [group, "begin"] if (await self._get(f"{group}.begin", Begin))[0] is not None:
                        groups[group] = {}
                    case [group, "part", word] if group in groups:
                        entry, _ = await self._get(f"{group}.part.{word}", Entry)
                        if entry is not None:
                            groups[group][decode_word(word)] = entry
                    case _:
                        pass
        return groups

    async def delete(self, group: str) -> bool:
        """Forget a group; return whether there was one.  Raises ClusterError."""
        found = (await self.groups()).get(group)
        if found is None:
            return False
        await self._open()
        with self._connection.asking(f"deleting the group {group}"):
            for key in (*(_key(group, node) for node in found), f"{group}.begin"):
                await self._connection.ask(lambda jetstream, key=key: self._bucket(jetstream).delete(key))
        return True

    def forget(self) -> None:
        """Something has failed: the bucket may be another one when the servers are back."""
        self._is_open = False

    async def _open(self) -> None:
        if self._is_open:
            return
        name, ask = self._name, self._connection.ask
        with self._connection.asking(f"looking at the groups in {name}"):
            try:
                info = await ask(lambda jetstream: jetstream.stream_info(f"KV_{name}"))
            except NotFoundError:
                config = bucket_config(
                    self._settings, name, "How far the groups of a Sylvite cluster have read",
                    bytes_max=BYTES_MAX, value_bytes_max=VALUE_BYTES_MAX,
                )  # fmt: skip
                info = await ask(lambda jetstream: jetstream.add_stream(config))  # type: ignore[reportUnknownMemberType, reportUnknownLambdaType] - nats-py leaves a type in it open
            check_bucket(self._settings, name, info.config)
        self._is_open = True

    def _bucket(self, jetstream: JetStreamContext) -> KeyValue:
        # Read from who leads, not from one that is behind.
        return KeyValue(self._name, f"KV_{self._name}", f"$KV.{self._name}.", jetstream, direct=False)

    async def _put(self, key: str, value: Entry | Begin, last: int) -> int:
        """Where there is no answer the same is said again: if it was heard, it is refused then, and found there."""
        data = msgspec.json.encode(value)
        return await self._connection.ask(lambda jetstream: self._bucket(jetstream).update(key, data, last=last))

    async def _get(self, key: str, kind: type[Kind]) -> tuple[Kind | None, int]:
        try:
            found = await self._connection.ask(lambda jetstream: self._bucket(jetstream).get(key))
        except KeyNotFoundError as error:
            # Deleted: the next one has to follow the revision of that.
            gone = cast("KeyValue.Entry | None", error.entry)  # type: ignore[reportUnknownMemberType] - nats-py's types are partial
            return None, 0 if gone is None else gone.revision or 0
        try:
            return msgspec.json.decode(found.value or b"", type=kind), found.revision or 0
        except msgspec.DecodeError as error:
            cure = f"delete the key {key} of the bucket {self._name}"
            raise ClusterUnfit(f"the entry {key}", f"holds what is none of ours: {error}", cure) from error

    async def _newest(self) -> Begin:
        """Return the positions behind what is in the stream."""
        stream = Stream(self._connection, self._settings.node)
        state = await stream.open()
        name = stream.name
        positions: dict[str, Position] = {}
        with self._connection.asking(f"reading the stream {name}"):
            subjects = log_subject(self._settings, "*")
            info = await self._connection.ask(lambda jetstream: jetstream.stream_info(name, subjects_filter=subjects))
            for subject in info.state.subjects or {}:
                last = await self._connection.ask(
                    lambda jetstream, subject=subject: jetstream.get_last_msg(name, subject)
                )
                try:
                    carried = decode(node_of(subject), last.data or b"")
                except Forged as error:
                    logger.warning("the last message of %s is passed over: %s", node_of(subject), error)
                    continue
                positions[carried.node] = Position().behind(carried, state.id, last.seq or 0)
        return Begin(positions, Position(stream=state.id, number=state.last, since_ns=time.time_ns()))


def _key(group: str, node: str) -> str:
    return f"{group}.part.{encode_word(node)}"
