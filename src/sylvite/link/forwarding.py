"""Forwarding: what a minion sends up, as events of its master.  Pure; nothing in a load says who sent it.

The shapes are Salt's: a single event is fired as the whole load, a list entry by entry, a return under its job's tag.
What a minion may write is computed from its id, and an id in the load that is another is refused, never corrected.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

import msgspec

from sylvite.core.tag import check_tag
from sylvite.errors import InvalidTag

EVENTS_MAX = 1000
"""Of one load: a list of more is refused whole."""

OWN_FIRST = frozenset(
    ("agent", "cluster", "key", "log", "minion", "resource", "salt", "sylvite", "syndic", "syndic_start", "_salt_error")
)
"""First parts of tags that are somebody's own; what is not named here is free for all."""
OF_A_MINION = (("salt", "minion"), ("salt", "beacon"), ("minion",))
"""Behind these stands the id of the minion that may write them."""
OF_ANY_MINION = ("minion_start", "minion_ping", "_salt_error")
"""Which minion has written them stands in their data alone."""
OF_THE_MASTER = ("minion", "refresh")
"""Also where a minion has that id."""

_ODD = re.compile(r"[\\% ]|^[./]|/[./]")
_SLASHES = re.compile(r"[/\\]")
_TWINS = str.maketrans("асԁеһіјкӏмոорԛгѕтυνѡхуαινοκρτıɡ", "acdehijklmnopqrstuvwxyaivokptig")
"""Cyrillic, Greek and other letters that look like those of OWN_FIRST."""


class Forwarded(NamedTuple):
    tag: str
    data: dict[str, Any]


class Refusal(NamedTuple):
    """What a minion may not write, and why."""

    tag: str
    reason: str


class Sorted(NamedTuple):
    """A load, as the master sees it."""

    events: list[Forwarded]
    refusals: list[Refusal]


IsForMinion = Callable[[str], bool]
"""Says whether a job id is known, and that job was sent to this minion."""
MakeJid = Callable[[], str]
JID_WANTED = "req"
"""In the place of a jid: nobody has sent this job, and its return is to have one (`sylvite call`)."""


def forward(
    minion: str, load: Mapping[str, Any], now_s: int, is_for_minion: IsForMinion, make_jid: MakeJid | None = None
) -> Sorted:
    """Return the events that a load of this minion makes on the master's bus, in order, and what is refused of it.

    `now_s`: the master's time, whole seconds since 1970: Salt's `ts`.  `make_jid`: for a return of a job that nobody has
    sent; None refuses it.  Said again, it may get another one: the broker knows the load by its offset, and keeps what
    came first.
    Source: spec/salt-events.md 3, "Three shapes of data", and 3.9.
    """
    said = load.get("id", minion)
    if said != minion:
        return Sorted([], [Refusal(str(load.get("tag", "")), f"the load says that it is of {said!r}")])
    if load.get("cmd") == "_return":
        if load.get("jid") == JID_WANTED and "return" in load and make_jid is not None:
            return _returned_unasked(minion, load, now_s, make_jid())
        return _returned(minion, load, now_s, is_for_minion)
    if load.get("events") is not None:
        return _listed(minion, load, is_for_minion)
    tag = load.get("tag")
    if tag is None or "data" not in load:
        return Sorted([], [Refusal("", "an event needs a tag and data")])
    reason = why_not(minion, tag, is_for_minion)
    if reason is not None:
        return Sorted([], [Refusal(str(tag), reason)])
    envelope = {**load, "id": minion, "cmd": "_minion_event", "ts": now_s}
    envelope.pop("events", None)
    return Sorted([Forwarded(tag, envelope)], [])


def _listed(minion: str, load: Mapping[str, Any], is_for_minion: IsForMinion) -> Sorted:
    entries, pretag = load["events"], load.get("pretag")
    if not isinstance(entries, list) or len(cast("list[Any]", entries)) > EVENTS_MAX:
        return Sorted([], [Refusal("", f"events must be a list of at most {EVENTS_MAX}")])
    found = Sorted([], [])
    for entry in cast("list[Any]", entries):
        try:
            event = msgspec.convert(entry, dict[str, Any])
            data = msgspec.convert(event.get("data", event), dict[str, Any])
        except msgspec.ValidationError:
            found.refusals.append(Refusal("", "an entry of events must be a map, and its data too"))
            continue
        plain: Any = event.get("tag")
        tags: list[Any] = [plain] if pretag is None else [f"{pretag}/{plain}", plain]
        for tag in tags:
            reason = why_not(minion, tag, is_for_minion)
            if tag in OF_ANY_MINION and data.get("id", minion) != minion:
                reason = f"its data says that it is of {data['id']!r}"
            if reason is None:
                found.events.append(Forwarded(tag, data))
            else:
                found.refusals.append(Refusal(str(tag), reason))
    return found


def _returned(minion: str, load: Mapping[str, Any], now_s: int, is_for_minion: IsForMinion) -> Sorted:
    jid = load.get("jid")
    if not isinstance(jid, str) or "return" not in load:
        return Sorted([], [Refusal("", "a return needs a jid and a return")])
    tag = f"salt/job/{jid}/ret/{minion}"
    try:
        check_tag(tag)
    except InvalidTag as error:
        return Sorted([], [Refusal(tag[:80], str(error))])
    if "/" in jid or not is_for_minion(jid):
        return Sorted([], [Refusal(tag, "no such job was sent to it")])
    return Sorted([Forwarded(tag, {**load, "id": minion, "ts": now_s})], [])


def _returned_unasked(minion: str, load: Mapping[str, Any], now_s: int, jid: str) -> Sorted:
    # As a master of Salt completes it (salt.utils.job.store_job).
    arguments = load.get("arg", load.get("fun_args", []))
    data = {**load, "id": minion, "jid": jid, "arg": arguments, "tgt_type": "glob", "tgt": minion, "ts": now_s}
    return Sorted([Forwarded(f"salt/job/{jid}/ret/{minion}", data)], [])


def why_not(minion: str, tag: object, is_for_minion: IsForMinion) -> str | None:
    """Return why this minion may not write that tag; None where it may."""
    if not isinstance(tag, str):
        return "a tag is a text"
    try:
        check_tag(tag)
    except InvalidTag as error:
        return str(error)
    parts = tag.split("/")
    if parts[0] not in OWN_FIRST:
        first = looks_like(tag).partition("/")[0]
        return f"it looks like one of {first}, which is somebody's own" if first in OWN_FIRST else None
    if tag == "_salt_error":
        return None
    if ".." in parts:
        return "it goes back to what is somebody else's"
    if tuple(parts[:2]) == OF_THE_MASTER:
        return "it is the master's to write"
    for first in OF_A_MINION:
        after = parts[len(first) :]
        if parts[: len(first)] == list(first) and after[:1] == [minion] and len(after) > 1:
            return None
    return _why_not_of_a_job(minion, parts, is_for_minion)


def looks_like(tag: str) -> str:
    """Return what a careless reader, or a program that is too kind, may take a tag for."""
    if tag.isascii() and tag.islower() and not _ODD.search(tag):
        return tag  # Nearly all tags.
    text = unicodedata.normalize("NFKD", unquote(tag)).casefold().translate(_TWINS)
    text = "".join(each for each in text if unicodedata.category(each) not in ("Cf", "Mn", "Cc", "Zs"))
    return "/".join(part for part in _SLASHES.split(text) if part not in ("", ".", ".."))


def _why_not_of_a_job(minion: str, parts: list[str], is_for_minion: IsForMinion) -> str | None:
    match parts:
        case ["salt", "job", jid, "prog", who, _] | ["salt", "job", jid, "start", who]:
            pass
        case ["salt", "state_result", jid, who, _, *_]:
            pass
        case _:
            return "it is not a minion's to write"
    if who != minion:
        return "it is another minion's to write"
    return None if is_for_minion(jid) else "no such job was sent to it"
