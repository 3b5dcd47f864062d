"""The verbs: every question that a client can ask, as one table.  Spec: docs/protocol.md, "Verbs"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from sylvite.errors import CursorInUse, EventLogError, NotAllowed
from sylvite.eventlog import retention
from sylvite.eventlog.cursors import Cursor
from sylvite.wire.messages import Start

if TYPE_CHECKING:
    from sylvite.broker.broker import Broker
    from sylvite.broker.connection import Connection


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class Seek(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`to`: a Start, as an array."""

    name: str
    to: Start


class Prune(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`before`: delete the segments with only events below it; None: what retention lets go."""

    before: int | None = None
    dry_run: bool = False


def _stats(broker: Broker, connection: Connection, arguments: NoArguments) -> dict[str, Any]:
    del connection, arguments
    log = broker.log
    return {
        "broker": broker.name,
        "started_ns": broker.started_ns,
        "now_ns": broker.clock.now_ns(),
        "log": _log_facts(broker),
        "counters": msgspec.to_builtins(broker.counters),
        "connections": len(broker.connections),
        "subscriptions": sum(len(other.subscriptions) for other in broker.connections),
        "cursors": len(log.cursors),
        "clients": [
            {
                "connection": number,
                "client": other.client,
                "sender": other.peer.name,
                "subscriptions": [
                    {
                        "id": subscription.id,
                        "live": subscription.live,
                        "behind": 0 if subscription.live else max(log.end - subscription.reader.next, 0),
                        "cursor": subscription.cursor_name,
                    }
                    for subscription in other.subscriptions.values()
                ],
            }
            for other, number in broker.connections.items()
        ],
    }


def _log_facts(broker: Broker) -> dict[str, Any]:
    log = broker.log
    return {
        "log_id": log.log_id,
        "folder": broker.log_folder,
        "epoch": f"{log.epoch:016x}",
        "oldest": log.oldest,
        "end": log.end,
        "synced": log.synced,
        "segments": len(log.segments),
        "bytes": log.bytes_used,
        "free_bytes": log.storage.free_bytes(),
        "keep_free_bytes": log.settings.keep_free_bytes,
        "keep_bytes": log.settings.keep_bytes,
        "keep_s": log.settings.keep_s,
        "damaged": [
            {"segment": name, "first": gap.first, "next": gap.next}
            for (name, _), gap in log.damages.items()
            if gap.next > gap.first
        ],
        "scrub": {
            "every_s": broker.scrub.every_s,
            "rounds": broker.scrub.rounds,
            "finished_ns": broker.scrub.finished_ns,
            "bytes": broker.scrub.bytes,
        },
    }


def _log(broker: Broker, connection: Connection, arguments: NoArguments) -> dict[str, Any]:
    del connection, arguments
    return _log_facts(broker)


def _prune(broker: Broker, connection: Connection, arguments: Prune) -> dict[str, Any]:
    del connection
    log, settings = broker.log, broker.log.settings
    if arguments.before is not None:
        going = retention.before(log.segments, arguments.before, log.synced)
    else:
        going = retention.to_drop(
            log.segments, now_ns=broker.clock.now_ns(), keep_bytes=settings.keep_bytes, keep_s=settings.keep_s,
            synced=log.synced,
        )  # fmt: skip
    facts = [{"segment": segment.name, "first": segment.base, "next": segment.next} for segment in going]
    freed = sum(segment.size for segment in going)
    if going and not arguments.dry_run:
        try:
            gaps = log.drop(going)
        except OSError as error:
            raise EventLogError(f"a file could not be deleted: {error}; the log begins at @{log.oldest}") from error
        broker.publish_own("log/pruned", {"first": gaps[0].first, "next": gaps[-1].next})
    return {"segments": facts, "bytes": freed, "oldest": log.oldest, "dry_run": arguments.dry_run}


def _cursors(broker: Broker, connection: Connection, arguments: NoArguments) -> dict[str, Any]:
    del arguments
    log = broker.log
    shown = [cursor for cursor in log.cursors if _may_touch(connection, cursor)]
    return {
        "cursors": [
            {
                "name": cursor.name,
                "owner": cursor.owner,
                "offset": cursor.offset,
                "behind": max(log.end - cursor.offset, 0),
                "missed": max(log.oldest - cursor.offset, 0),
                "moved_ns": cursor.moved_ns,
                "in_use": broker.readers.is_cursor_held(cursor.name),
            }
            for cursor in shown
        ]
    }


def _may_touch(connection: Connection, cursor: Cursor) -> bool:
    return connection.peer.is_owner or cursor.owner == connection.peer.name


def _free_cursor(broker: Broker, connection: Connection, name: str) -> Cursor:
    cursor = broker.log.cursors.get(name)
    if not _may_touch(connection, cursor):
        raise NotAllowed(f"cursor {name!r} belongs to {cursor.owner}")
    if broker.readers.is_cursor_held(name):
        raise CursorInUse(name)
    return cursor


def _cursor_seek(broker: Broker, connection: Connection, arguments: Seek) -> dict[str, Any]:
    cursor = _free_cursor(broker, connection, arguments.name)
    offset, _ = broker.readers.place(arguments.to)
    log = broker.log
    log.cursors.put(
        Cursor(cursor.name, cursor.owner, log.epoch_before(offset), offset, broker.clock.now_ns())
    )  # fmt: skip
    return {"name": cursor.name, "from": cursor.offset, "to": offset}


def _cursor_delete(broker: Broker, connection: Connection, arguments: Named) -> dict[str, Any]:
    cursor = _free_cursor(broker, connection, arguments.name)
    broker.log.cursors.delete(cursor.name)
    return {"name": cursor.name, "offset": cursor.offset}


class ClusterEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: behind `sylvite/cluster/`."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z_]{1,40}$")]
    data: dict[str, str | int | float | bool | None]


def _origins(broker: Broker, connection: Connection, arguments: NoArguments) -> dict[str, Any]:
    del connection, arguments
    reached = broker.log.sources.origins.snapshot()
    marks = [[mark.node, mark.epoch, mark.until] for mark in reached.marks]
    return {"stream": reached.stream, "number": reached.number, "marks": marks}


def _cluster_event(broker: Broker, connection: Connection, arguments: ClusterEvent) -> dict[str, Any]:
    del connection
    broker.publish_own(f"cluster/{arguments.name}", dict(arguments.data))
    return {}


class Verb(msgspec.Struct, frozen=True):
    """`answer` may raise SylviteError."""

    arguments: type[msgspec.Struct]
    answer: Callable[[Broker, Connection, Any], dict[str, Any]]
    owner_only: bool = False


VERBS: Mapping[str, Verb] = {
    "stats": Verb(NoArguments, _stats, owner_only=True),
    "log": Verb(NoArguments, _log, owner_only=True),
    "prune": Verb(Prune, _prune, owner_only=True),
    "cursors": Verb(NoArguments, _cursors),
    "cursor_seek": Verb(Seek, _cursor_seek),
    "cursor_delete": Verb(Named, _cursor_delete),
    "origins": Verb(NoArguments, _origins, owner_only=True),
    "cluster_event": Verb(ClusterEvent, _cluster_event, owner_only=True),
}
