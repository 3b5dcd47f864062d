"""Minions over HTTP: who is known, who is here, and their grains."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.answers import Items, answer
from sylvite.api.parameters import check_names, read_flag
from sylvite.api.problems import NotFound
from sylvite.api.service import Service
from sylvite.core.event import format_stamp
from sylvite.jobs.known_minions import read_known
from sylvite.jobs.minions import FILE, MinionRecord


class MinionItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """`since`: when it came, or went; None: it has not been here.  `reason`: why it went.  `grains`: where they were asked for.
    `master`: the other master of the cluster that it came to; not there: this one.
    """

    id: str
    present: bool
    since: str | None
    address: str
    reason: str
    grains: dict[str, Any] | None = None
    master: str = ""


async def list_all(service: Service, request: Request) -> Response:
    """GET /v1/minions: the minions that are known, by id."""
    service.access.require(request, "minions:read")
    check_names(request.query_params, "grains")
    with_grains = read_flag(request.query_params, "grains")
    return answer(Items(await asyncio.to_thread(_read, service.place.data_dir / FILE, with_grains=with_grains)))


async def one(service: Service, request: Request) -> Response:
    """GET /v1/minions/{id}: one minion with its grains."""
    service.access.require(request, "minions:read")
    check_names(request.query_params)
    id_ = str(request.path_params["id"])
    found = await asyncio.to_thread(_find, service.place.data_dir / FILE, id_)
    if found is None:
        raise NotFound(f"nothing is known of a minion {id_[:200]!a}")
    return answer(found)


def _read(path: Path, *, with_grains: bool) -> list[MinionItem]:
    if not path.exists():
        return []
    with read_known(path) as reader:
        grains = reader.grains() if with_grains else {}
        return [_item(record, grains.get(record.id, {}) if with_grains else None) for record in reader.records()]


def _find(path: Path, id_: str) -> MinionItem | None:
    if not path.exists():
        return None
    with read_known(path) as reader:
        return next((_item(each, reader.grains_of(id_)) for each in reader.records() if each.id == id_), None)


def _item(record: MinionRecord, grains: dict[str, Any] | None) -> MinionItem:
    since_ns = record.connected_since_ns if record.left_ns is None else record.left_ns
    since = None if since_ns is None else format_stamp(since_ns)
    return MinionItem(record.id, record.is_present, since, record.address, record.reason, grains, record.master)
