"""Events of jobs, brought into the store."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sylvite.core.event import Event, Offset, Origin
from sylvite.errors import NoSuchJob
from sylvite.jobs.jid import JidMaker
from sylvite.jobs.keeping import TAGS, Keeper
from sylvite.jobs.store import JobStore
from tests.jobs.stores import JID, NOW_NS, OTHER

NEW = {"jid": JID, "tgt_type": "glob", "tgt": "*", "user": "root", "fun": "test.ping", "arg": [], "minions": ["web1", "web2"],
       "missing": []}  # fmt: skip


def event(tag: str, data: dict[str, Any], after_ns: int = 0) -> Event:
    return Event(tag, data, Offset(1), Origin(1, NOW_NS + after_ns, "uid:0", 1))


def new(jid: str = JID, **more: Any) -> Event:
    return event(f"salt/job/{jid}/new", {**NEW, "jid": jid, **more})


def published(jid: str = JID, **more: Any) -> Event:
    return event(f"salt/job/{jid}/publish", {"jid": jid, "fun": "test.ping", **more})


def returned(minion: str, jid: str = JID, after_ns: int = 0, **more: Any) -> Event:
    load = {
        "cmd": "_return",
        "id": minion,
        "jid": jid,
        "return": True,
        "retcode": 0,
        "success": True,
        "fun": "test.ping",
    }
    return event(f"salt/job/{jid}/ret/{minion}", {**load, **more}, after_ns)


@pytest.fixture
def keeper(store: JobStore) -> Keeper:
    return Keeper(store)


def test_a_job_and_its_returns(store: JobStore, keeper: Keeper) -> None:
    keeper.take(
        [new(), published(metadata={"why": "a test"}), returned("web1"), returned("web2", retcode=3, success=False)]
    )
    found = store.find(JID)
    assert (found.job.fun, found.job.tgt, found.job.user, found.job.metadata) == (
        "test.ping", "*", "root", {"why": "a test"}
    )  # fmt: skip
    assert (found.published_ns, found.expected, found.returned, found.is_active) == (NOW_NS, 2, 2, False)
    assert [(answer.minion, answer.value, answer.retcode) for answer in store.answers(JID)] == [
        ("web1", True, 0), ("web2", True, 3)
    ]  # fmt: skip


def test_what_was_taken_before_changes_nothing(store: JobStore, keeper: Keeper) -> None:
    """A process that is killed before it has acknowledged takes it again."""
    events = [new(), published(), returned("web1")]
    keeper.take(events)
    keeper.take(events)
    assert (store.find(JID).expected, store.find(JID).returned) == (2, 1)
    assert store.answers(JID)[0].repeats == 1


def test_returns_keep_the_time_at_which_they_came(store: JobStore, keeper: Keeper) -> None:
    keeper.take([new(), returned("web1"), returned("web2", after_ns=60_000_000_000)])
    assert [answer.returned_ns - NOW_NS for answer in store.answers(JID)] == [0, 60_000_000_000]


def test_the_steps_of_a_batch_are_one_job(store: JobStore, keeper: Keeper) -> None:
    keeper.take([new(minions=["web1"]), published(), new(minions=["web2"]), published(), returned("web1")])
    assert store.find(JID).job.minions == ("web1", "web2")


def test_several_functions_have_a_retcode_each(store: JobStore, keeper: Keeper) -> None:
    keeper.take([
        new(fun=["a.b", "c.d"], arg=[[], []]),
        returned("web1", retcode={"a.b": 0, "c.d": 2}, success={"a.b": True, "c.d": False}),
        returned("web2", retcode={"a.b": 0, "c.d": 0}, success={"a.b": True, "c.d": True}),
    ])  # fmt: skip
    assert [(answer.retcode, answer.success) for answer in store.answers(JID)] == [(2, False), (0, True)]


def test_a_job_that_a_minion_has_given_itself(store: JobStore, keeper: Keeper) -> None:
    """`sylvite call` on a minion: nothing was published, and its return says what it is of."""
    keeper.take([returned("web1", fun="test.arg", arg=["a"], tgt="web1", tgt_type="glob"), returned("web9", jid=OTHER)])
    assert (store.find(JID).job.fun, store.find(JID).job.arg, store.find(JID).returned) == ("test.arg", ("a",), 1)
    with pytest.raises(NoSuchJob):
        store.find(OTHER)


@pytest.mark.parametrize(
    "bad",
    [
        new(minions="web1"),
        new(fun=7),
        event(f"salt/job/{JID}/new", {**NEW, "jid": OTHER}),
        event("salt/job/nonsense/new", {**NEW, "jid": "nonsense"}),
        returned("web1", retcode="many"),
        event(f"salt/job/{JID}/ret/web1", {"jid": JID}),
        returned("web1", tgt="web1", fun={}),
    ],
)
def test_what_is_no_job_is_left_out(store: JobStore, keeper: Keeper, bad: Event) -> None:
    keeper.take([bad, new(OTHER), returned("web1", OTHER)])
    assert store.find(OTHER).returned == 1
    assert len(store.page()) == 1


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (*NEW, "return", "retcode", "success", "out", "fun_args", "metadata")


@settings(
    max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(("new", "publish", "ret")), st.dictionaries(st.sampled_from(FIELDS), values))
    )
)
def test_whatever_somebody_publishes_the_others_are_kept(
    store: JobStore, keeper: Keeper, changes: list[tuple[str, dict[str, Any]]]
) -> None:
    make = {"new": new, "publish": published, "ret": lambda: returned("web1")}
    bad = [event(make[what]().tag, {**make[what]().data, **change}) for what, change in changes]
    jid = JidMaker().make(time.time_ns())
    keeper.take([*bad, new(jid), returned("web1", jid), *bad])
    assert (store.find(jid).returned, store.find(jid).expected) == (1, 2)


def test_many_at_once(store: JobStore, keeper: Keeper) -> None:
    maker = JidMaker()
    jids = [maker.make(NOW_NS) for _ in range(20)]
    keeper.take([each for jid in jids for each in (new(jid), published(jid))] + [returned("web1", jid) for jid in jids])
    assert [each.returned for each in store.page(count=100)] == [1] * 20


def test_the_tags_that_matter() -> None:
    import re

    fits = re.compile(TAGS).match
    assert all(fits(each.tag) for each in (new(), published(), returned("web1"), returned("new")))
    for other in ("start/web1", "prog/web1/3", "ret/web1/x", "new/more"):
        assert not fits(f"salt/job/{JID}/{other}")
