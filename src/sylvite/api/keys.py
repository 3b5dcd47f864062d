"""The keys of minions over HTTP: who asks to be let in, who is, and what is done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.answers import Items, answer
from sylvite.api.bodies import decode, read_body
from sylvite.api.parameters import check_names
from sylvite.api.service import Service
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import HOLDS_ID, MOVES, Act, Key, MoveRefused, NoSuchKey, State, state_after
from sylvite.auth.keys import parse_fingerprint
from sylvite.client.async_client import AsyncClient
from sylvite.core.event import format_stamp
from sylvite.functions import key_lists

BODY_BYTES_MAX = 4096
ANNOUNCED_WITHIN_S = 30.0


class Action(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    REVOKE = "revoke"
    DELETE = "delete"


_ACTS: Mapping[Action, tuple[Act, key_lists.Act]] = {
    Action.ACCEPT: (Act.ACCEPT, Keyring.accept),
    Action.REJECT: (Act.REJECT, Keyring.reject),
    Action.REVOKE: (Act.REVOKE, Keyring.revoke),
    Action.DELETE: (Act.DELETE, Keyring.delete),
}


class KeyItem(msgspec.Struct, frozen=True):
    """A key that was shown under an id.  `since`: when it came into this state.  `counts`: sessions are let in with it."""

    id: str
    state: State
    counts: bool
    fingerprint: str
    since: str
    address: str


class KeyShown(KeyItem, frozen=True):
    """One key whole: the one that holds the id, else the newest.  `others`: further keys that were shown under the id."""

    public: str
    first_seen: str
    last_seen: str
    others: list[KeyItem]


class KeyMove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`fingerprint`: of the key that was looked at: no other is then moved."""

    action: Action
    fingerprint: str | None = None


class KeyMoved(KeyItem, frozen=True):
    """The key as it is now; one that was deleted, as it was."""

    action: Action


async def list_all(service: Service, request: Request) -> Response:
    """GET /v1/keys: the keys of minions, by id."""
    service.access.require(request, "keys:read")
    check_names(request.query_params)
    keys = await asyncio.to_thread(_read, service.keys, None)
    return answer(Items([_item(key) for key in keys]))


async def one(service: Service, request: Request) -> Response:
    """GET /v1/keys/{id}: one key whole, and others that asked for its id."""
    service.access.require(request, "keys:read")
    check_names(request.query_params)
    id_ = str(request.path_params["id"])
    keys = await asyncio.to_thread(_read, service.keys, id_)
    if not keys:
        raise NoSuchKey(f"there is no key of {id_[:200]!a}")
    first, *others = sorted(keys, key=lambda key: (key.state not in HOLDS_ID, -key.changed_ns))
    shown = KeyShown(
        **msgspec.structs.asdict(_item(first)),
        public=first.public.pem,
        first_seen=format_stamp(first.made_ns),
        last_seen=format_stamp(first.seen_ns),
        others=[_item(key) for key in others],
    )
    return answer(shown)


async def move(service: Service, request: Request) -> Response:
    """POST /v1/keys/{id}: accept, reject, revoke or delete a key."""
    service.access.require(request, "keys:write")
    check_names(request.query_params)
    wanted = decode(await read_body(request, BODY_BYTES_MAX), KeyMove)
    bus = _Announcing(service.bus, asyncio.get_running_loop())
    key = await asyncio.to_thread(_move, service.keys, str(request.path_params["id"]), wanted, bus)
    return answer(KeyMoved(**msgspec.structs.asdict(_item(key)), action=wanted.action))


class _Announcing:
    """The bus, for the thread that moves a key: what was done is told there before the answer is."""

    def __init__(self, bus: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._bus, self._loop = bus, loop

    def publish(self, events: Sequence[tuple[str, dict[str, object]]]) -> None:
        publishing = self._bus.publish_many(events, level="synced", timeout_s=ANNOUNCED_WITHIN_S)
        asyncio.run_coroutine_threadsafe(publishing, self._loop).result()


def _read(folder: Path, id_: str | None) -> list[Key]:
    with Keyring.open(folder) as keyring:
        return keyring.all_keys(id_)


def _move(folder: Path, id_: str, wanted: KeyMove, bus: _Announcing) -> Key:
    act, move_ = _ACTS[wanted.action]
    with Keyring.open(folder) as keyring:
        key = _choose(keyring.all_keys(id_), id_, act, wanted.fingerprint)
        key_lists.move(keyring, bus, move_, [key])
        return next((each for each in keyring.all_keys(id_) if each.public == key.public), key)


def _choose(keys: Sequence[Key], id_: str, act: Act, fingerprint: str | None) -> Key:
    """Return the key that is meant.

    Raises:
        NoSuchKey: the id has none, or none with that fingerprint.
        MoveRefused: there is no such move for it; or there are several, and none was named.
    """
    if fingerprint is not None:
        named = parse_fingerprint(fingerprint)
        keys = [key for key in keys if key.fingerprint == named]
    if not keys:
        raise NoSuchKey(f"there is no key of {id_[:200]!a}" + (" with that fingerprint" if fingerprint else ""))
    fitting = [key for key in keys if act is Act.DELETE or key.state in MOVES[act]]
    # One that waits is meant before one that was turned away; a denied one is another's attempt, and has to be named.
    plain = [key for key in fitting if key.state in HOLDS_ID] or fitting
    if len(plain) > 1:
        raise MoveRefused(id_, act, plain[0].state, "there are several; say its fingerprint")
    if not plain:
        state_after(id_, act, keys[0].state)
    return plain[0]


def _item(key: Key) -> KeyItem:
    return KeyItem(key.id, key.state, key.counts, key.fingerprint, format_stamp(key.changed_ns), key.address)
