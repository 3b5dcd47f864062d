"""Who reads the bus, how far behind, and the log that they read from."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.answers import Items, answer
from sylvite.api.parameters import check_names
from sylvite.api.service import Service
from sylvite.client.facts import ClientFacts, CursorFacts
from sylvite.core.event import format_stamp


class Consumer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A durable cursor, or a subscription of somebody who is connected.

    `behind`: how many events it has not had.  Of a cursor: `offset`, which it wants next; `missed`, how many of those before it
    retention has taken; `moved`, when it last was; `in_use`.  Of a subscription: `live`: it is at the end of the log; `cursor`:
    the name of the one that it moves.
    """

    kind: Literal["cursor", "subscription"]
    name: str
    owner: str
    behind: int
    offset: int | None = None
    missed: int | None = None
    moved: str | None = None
    in_use: bool | None = None
    live: bool | None = None
    cursor: str | None = None


class Scrub(msgspec.Struct, frozen=True):
    every_s: float | None
    rounds: int
    finished: str | None
    bytes: int


class Damaged(msgspec.Struct, frozen=True):
    segment: str
    first: int
    next: int


class LogShown(msgspec.Struct, frozen=True):
    """`first`, `next`: offsets of the oldest event, and behind the newest; `synced`: up to there a power cut takes nothing.

    `keep_bytes`, `keep_s`: retention; None: without a limit.  `keep_free_bytes`: so much of the disk is left to others.
    """

    epoch: str
    first: int
    next: int
    synced: int
    segments: int
    bytes: int
    keep_bytes: int | None
    keep_s: float | None
    free_bytes: int
    keep_free_bytes: int
    damaged: list[Damaged]
    scrub: Scrub


def read_consumers(cursors: dict[str, Any], stats: dict[str, Any]) -> list[Consumer]:
    """Return them, of what the broker answers to `cursors` and `stats`."""
    found = [
        Consumer(
            "cursor", each.name, each.owner, each.behind, offset=each.offset, missed=each.missed,
            moved=format_stamp(each.moved_ns), in_use=each.in_use,
        )
        for each in msgspec.convert(cursors["cursors"], list[CursorFacts])
    ]  # fmt: skip
    for client in msgspec.convert(stats["clients"], list[ClientFacts]):
        found += [
            Consumer(
                "subscription", client.client, client.sender, each.behind, live=each.live, cursor=each.cursor or None
            )
            for each in client.subscriptions
        ]
    return found


async def list_all(service: Service, request: Request) -> Response:
    """GET /v1/consumers: durable cursors and live subscriptions, and how far behind they are."""
    service.access.require(request, "status:read")
    check_names(request.query_params)
    return answer(Items(read_consumers(await service.bus.ask("cursors"), await service.bus.ask("stats"))))


async def log(service: Service, request: Request) -> Response:
    """GET /v1/log: where the log begins and ends, how large it is, and what retention leaves."""
    service.access.require(request, "log:read")
    check_names(request.query_params)
    facts = await service.bus.ask("log")
    scrub = facts["scrub"]
    finished = format_stamp(scrub["finished_ns"]) if scrub["finished_ns"] else None
    shown = LogShown(
        epoch=facts["epoch"], first=facts["oldest"], next=facts["end"], synced=facts["synced"], segments=facts["segments"],
        bytes=facts["bytes"], keep_bytes=facts["keep_bytes"], keep_s=facts["keep_s"], free_bytes=facts["free_bytes"],
        keep_free_bytes=facts["keep_free_bytes"], damaged=msgspec.convert(facts["damaged"], list[Damaged]),
        scrub=Scrub(scrub["every_s"], scrub["rounds"], finished, scrub["bytes"]),
    )  # fmt: skip
    return answer(shown)
