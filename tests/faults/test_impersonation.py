"""C-06: a minion that was let in, and tries to write what is somebody else's: tags, ids and forms of every kind."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from sylvite.core.event import Event, pack_data
from sylvite.link import forwarding
from sylvite.link.messages import Up, encode
from sylvite.link.minion_session import MinionSession
from tests.faults.link_controls import believe_ids
from tests.faults.report import control, report
from tests.link.ends import JID, NOW_S, Ends
from tests.link.test_ends import events_of

ME = "alpha"
OTHERS = ("beta", "alph", "ALPHA", "alpha.")
ALIEN_JID = "20200101000000000000"
"""A job that was not sent to it."""

RESERVED = (
    "salt/auth", "salt/auth/creds", "salt/key", "key", "salt/presence/present", "salt/presence/change",
    "salt/run/{jid}/new", "salt/run/{jid}/args", "salt/run/{jid}/ret", "salt/run/{jid}/progress", "salt/wheel/{jid}/new",
    "salt/wheel/{jid}/ret", "salt/cloud/{other}/created", "salt/cloud/{other}/destroyed", "salt/job/{jid}/new",
    "salt/job/{jid}/publish", "salt/job/{jid}/ret/{me}", "salt/job/{jid}/error", "salt/batch/{jid}/start",
    "salt/link/refused", "salt/netapi/hook/x", "salt/engines/hook/x", "salt/syndic/{other}/start", "syndic_start",
    "syndic/{other}/x", "salt/cluster/x", "cluster/peer/x", "salt/stats/{other}", "salt/fileserver/gitfs/update",
    "salt/reactors/manage/list", "minion/refresh/{me}", "resource/refresh/{me}", "sylvite/log/full", "log/x",
    "agent/new_epoch", "salt", "salt/", "salt/minion", "salt/job/{jid}", "salt/custom",
)  # fmt: skip
"""Tags that are no minion's: spec/salt-events.md 3, and our own."""
OF_OTHERS = (
    "salt/minion/{other}/start", "salt/beacon/{other}/load/", "minion/{other}/x", "minion/refresh/{other}",
    "minion/{other}/resource_refresh", "resource/refresh/{other}", "salt/job/{jid}/ret/{other}",
    "salt/job/{jid}/prog/{other}/0", "salt/job/{jid}/start/{other}", "salt/job/{jid}/sub/{other}/error/x",
    "salt/state_result/{jid}/{other}/web", "salt/job/{alien}/prog/{me}/0", "salt/job/{alien}/start/{me}",
    "salt/state_result/{alien}/{me}/web", "salt/minion/{me}/../{other}/start", "salt/minion/{other}/../{me}/start",
)  # fmt: skip
WHOLE = ("minion_start", "minion_ping", "_salt_error")
"""Any minion's, and whose it is stands in the data alone."""

Encoding = Callable[[str], str]
ENCODINGS: dict[str, Encoding] = {
    "plain": lambda tag: tag,
    "upper case": str.upper,
    "title": lambda tag: tag[:1].upper() + tag[1:],
    "slash behind": lambda tag: tag + "/",
    "slash before": lambda tag: "/" + tag,
    "double slash": lambda tag: tag.replace("/", "//", 1),
    "dot": lambda tag: "./" + tag,
    "dot inside": lambda tag: tag.replace("/", "/./", 1),
    "backslash": lambda tag: tag.replace("/", "\\"),
    "percent": lambda tag: tag.replace("/", "%2f"),
    "percent letter": lambda tag: f"%{ord(tag[0]):02x}{tag[1:]}",
    "NUL": lambda tag: tag + "\0",
    "NUL inside": lambda tag: tag[:2] + "\0" + tag[2:],
    "line break": lambda tag: tag + "\n",
    "space before": lambda tag: " " + tag,
    "space behind": lambda tag: tag.replace("/", " /", 1),
    "Cyrillic": lambda tag: tag.replace("a", "а").replace("e", "е").replace("o", "о"),
    "full width": lambda tag: chr(ord(tag[0]) + 0xFEE0) + tag[1:],
    "full width slash": lambda tag: tag.replace("/", "／"),
    "zero width": lambda tag: tag[:2] + "\u200b" + tag[2:],
    "byte order mark": lambda tag: "\ufeff" + tag,
    "combining": lambda tag: tag[:1] + "\u0301" + tag[1:],
    "right to left": lambda tag: "\u202e" + tag,
    "soft hyphen": lambda tag: tag[:3] + "\u00ad" + tag[3:],
    "too long": lambda tag: tag + "/" + "x" * 300,
}  # fmt: skip
Load = dict[str, Any]
Form = Callable[[str, str], list[Load]]


def _split(tag: str) -> tuple[str, str]:
    before, _, after = tag.rpartition("/")
    return (before, after) if before else (tag, "")


FORMS: dict[str, Form] = {
    "single": lambda tag, _: [{"tag": tag, "data": {}}],
    "single, own id": lambda tag, _: [{"id": ME, "tag": tag, "data": {}, "cmd": "_minion_event"}],
    "id in the body": lambda tag, other: [{"id": other, "tag": tag, "data": {}}],
    "id in the data": lambda tag, other: [{"id": ME, "tag": tag, "data": {"id": other}}],
    "id in both": lambda tag, other: [{"id": other, "tag": tag, "data": {"id": other}}],
    "list": lambda tag, other: [{"id": ME, "events": [{"tag": tag, "data": {"id": other}}, {"tag": tag}]}],
    "list of another": lambda tag, other: [{"id": other, "events": [{"tag": tag, "data": {}}]}],
    "pretag": lambda tag, _: [{"events": [{"tag": _split(tag)[1], "data": {}}], "pretag": _split(tag)[0]}],
    "forwarded": lambda tag, other: [
        {"tag": tag, "data": {}, "syndic_id": other, "master_id": other, "__reg": True, "user": "root"},
        {"tag": tag, "data": {}, "load": {"id": other, "tag": tag, "data": {}}, "cmd": "_syndic_return"},
    ],
    "batch": lambda tag, other: [{"events": [{"events": [{"tag": tag, "data": {}}]}, {"id": other, "tag": tag}]}],
}  # fmt: skip


class Case(NamedTuple):
    encoding: str
    form: str
    load: Load


def _tags() -> Iterator[tuple[str, str]]:
    for other in OTHERS:
        for template in (*RESERVED, *OF_OTHERS):
            if "{other}" in template or other == OTHERS[0]:
                yield template.format(me=ME, other=other, jid=JID, alien=ALIEN_JID), other


def _cases() -> Iterator[Case]:
    for (tag, other), (encoding, encode_), (form, make) in itertools.product(_tags(), ENCODINGS.items(), FORMS.items()):
        for load in make(encode_(tag), other):
            yield Case(encoding, form, load)
    for tag, other in itertools.product(WHOLE, OTHERS):
        yield Case("plain", "id in the body", {"id": other, "tag": tag, "data": "x"})
        yield Case("plain", "list", {"events": [{"tag": tag, "data": {"id": other, "cmd": "_minion_event"}}]})
        yield Case("plain", "list", {"id": ME, "events": [{"tag": tag, "id": other}], "pretag": None})
    for jid, other in itertools.product((JID, ALIEN_JID, f"{JID}/ret/beta", "../x", "", "req\0"), OTHERS):
        for load in (
            {"cmd": "_return", "id": other, "jid": jid, "return": True, "fun": "test.ping"},
            {"cmd": "_return", "jid": ALIEN_JID, "return": {"id": other, "jid": jid}, "fun": "test.ping"},
            {"cmd": "_return", "jid": [jid], "return": True},
            {"cmd": "_syndic_return", "id": other, "jid": jid, "return": {other: {"return": True}}, "load": {}},
        ):
            yield Case("plain", "return", load)


def _as_a_careless_reader(tag: str) -> list[str]:
    """Return the parts of a tag, for who does not look closely."""
    text = unicodedata.normalize("NFKD", unquote(tag)).casefold().replace("\\", "/")
    text = "".join(each for each in text if unicodedata.category(each) not in ("Cf", "Mn", "Cc", "Zs"))
    text = text.translate(str.maketrans("аео", "aeo"))
    return [part for part in text.split("/") if part not in ("", ".", "..")]


FIRST = frozenset(tag.partition("/")[0].split("{")[0] for tag in (*RESERVED, *OF_OTHERS))


def _claims(event: Event) -> bool:
    """Say whether an event could be taken for somebody else's."""
    parts = _as_a_careless_reader(event.tag)
    if parts[:1] and parts[0] in FIRST:
        return True
    return parts[:1] != [] and parts[0] in WHOLE and event.data.get("id", ME) != ME


def _session() -> MinionSession:
    ends = Ends()
    ends.exchange()
    return ends.session


def _try_everything(*, each: int = 1, without: str | None = None) -> None:
    """`each`: every so manieth case."""
    session = _session()
    tried, refused, accepted = Counter[str](), Counter[str](), Counter[str]()
    silent = 0
    for offset, case in enumerate(itertools.islice(_cases(), 0, None, each)):
        session.feed(encode(Up(5, [(offset, pack_data(case.load))])), NOW_S)
        arrived = session.arrived.popleft()
        events = [event for event in events_of(arrived) if _claims(event)]
        tried[case.encoding] += 1
        refused[case.form] += bool(arrived.refusals)
        silent += not arrived.refusals or any(not refusal.reason for refusal in arrived.refusals)
        accepted[f"{case.encoding}, {case.form}: {case.load}"] += len(events)
    counters: dict[str, float] = {
        "accepted": accepted.total(),
        "without_a_reason": silent,
        "encodings": len(tried),
        "forms": len(refused),
    }
    report(
        "C-06",
        seed=0,
        runs=tried.total(),
        counters=counters,
        target={"accepted": 0.0, "without_a_reason": 0.0},
        without=without,
    )
    assert tried.total() * each >= 5000
    assert all(refused[form] for form in FORMS)


def test_a_minion_writes_nothing_of_anybody_else() -> None:
    """Every reserved tag, and every tag of another minion, in every writing and every form that a load can have."""
    _try_everything()


def test_a_master_that_believes_ids_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    believe_ids(monkeypatch.setattr)
    with control("C-06", without="ids from the channel", match='"accepted": [1-9]'):
        _try_everything(each=7, without="ids from the channel")


def test_a_master_that_looks_at_tags_as_they_are_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: writings that only look like somebody's tag."""

    def as_it_is(tag: str) -> str:
        return tag

    monkeypatch.setattr(forwarding, "looks_like", as_it_is)
    with control("C-06", without="a close look at tags", match='"accepted": [1-9]'):
        _try_everything(each=7, without="a close look at tags")
