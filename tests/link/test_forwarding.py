"""What a minion sends up becomes events of its master, and only those that are its own to write."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite.link.forwarding import EVENTS_MAX, Forwarded, forward, why_not

JID = "20261123224631804181"
NOW_S = 1_795_473_994


def is_for_minion(jid: str) -> bool:
    return jid == JID


def sent(load: dict[str, Any], minion: str = "alpha") -> tuple[list[Forwarded], list[str]]:
    events, refusals = forward(minion, load, NOW_S, is_for_minion)
    return events, [refusal.reason for refusal in refusals]


def test_a_single_event_is_fired_as_the_whole_load() -> None:
    """As golden/events_master_bus.jsonl has it for event.send of salt-call."""
    data = {"__pub_fun": "event.send", "__pub_pid": 23495, "success": True, "message": "It works!"}
    load = {"id": "alpha", "tag": "myco/mytag/success", "data": data, "cmd": "_minion_event"}
    assert sent(load) == ([Forwarded("myco/mytag/success", {**load, "ts": NOW_S})], [])


def test_a_pretag_and_preload_stay_where_the_minion_put_them() -> None:
    load = {"tag": "myco/x", "data": "text", "pretag": None, "customer": "acme"}
    ((_, envelope),), _ = sent(load)
    assert envelope == {**load, "id": "alpha", "cmd": "_minion_event", "ts": NOW_S}


def test_a_list_is_fired_flat_entry_by_entry() -> None:
    load = {
        "events": [{"tag": "salt/beacon/alpha/load/", "data": {"1m": 5}}, {"tag": "myco/y", "n": 1}],
        "pretag": None,
    }
    assert sent(load) == (
        [Forwarded("salt/beacon/alpha/load/", {"1m": 5}), Forwarded("myco/y", {"tag": "myco/y", "n": 1})],
        [],
    )


def test_a_pretag_of_a_list_is_put_before_each_tag_and_the_plain_tag_follows() -> None:
    events, refusals = sent({"events": [{"tag": "up", "data": {}}], "pretag": "minion/alpha"})
    assert ([event.tag for event in events], refusals) == (["minion/alpha/up", "up"], [])


@pytest.mark.parametrize("tag", ["minion_start", "minion_ping", "_salt_error"])
def test_an_entry_of_a_list_does_not_say_that_it_is_of_another(tag: str) -> None:
    """Such an event says in its data alone whose it is."""
    assert sent({"events": [{"tag": tag, "data": {"id": "beta"}}]}) == ([], ["its data says that it is of 'beta'"])
    assert (
        len(sent({"events": [{"tag": tag, "data": {"id": "alpha"}}, {"tag": "myco/x", "data": {"id": "beta"}}]})[0])
        == 2
    )


def test_a_minion_with_the_id_refresh_does_not_speak_for_the_master() -> None:
    assert why_not("refresh", "minion/refresh/beta", is_for_minion) is not None


def test_a_return_is_fired_under_the_tag_of_its_job() -> None:
    load = {
        "cmd": "_return",
        "id": "alpha",
        "success": True,
        "return": True,
        "retcode": 0,
        "jid": JID,
        "fun": "test.ping",
    }
    assert sent(load) == ([Forwarded(f"salt/job/{JID}/ret/alpha", {**load, "ts": NOW_S})], [])


@pytest.mark.parametrize(
    "tag",
    [
        "myco/anything", "My tag/Käse", "100%", "a/../b", "minion_start", "minion_ping", "salt/minion/alpha/start", "salt/beacon/alpha/load/x", "minion/alpha/x",
        f"salt/job/{JID}/prog/alpha/0", f"salt/job/{JID}/start/alpha", f"salt/state_result/{JID}/alpha/web", "_salt_error",
    ],
)  # fmt: skip
def test_what_a_minion_may_write(tag: str) -> None:
    assert why_not("alpha", tag, is_for_minion) is None


@pytest.mark.parametrize(
    "tag",
    [
        "salt/key", "salt/auth", "salt/minion/beta/start", "salt/minion/alpha", "salt/minion", "salt/minion/alph/a/start",
        "salt/minion//start", "salt/beacon/beta/load/", "minion/beta/x", f"salt/job/{JID}/new", f"salt/job/{JID}/ret/alpha",
        f"salt/job/{JID}/prog/beta/0", f"salt/job/{JID}/prog/alpha", "salt/job/20000101000000000000/prog/alpha/0",
        f"salt/state_result/{JID}/beta/web", f"salt/state_result/{JID}/alpha", "salt/run/1/new", "salt/wheel/1/ret",
        "salt/cloud/web9/created", "salt/presence/change", "salt/cluster/x", "salt", "sylvite/log/full", "syndic/alpha/x",
        "syndic_start", "log/x", "agent/new_epoch", "key", "minion/refresh/alpha", "salt/minion/alpha/../beta/start",
        "Salt/key", "/salt/key", "salt%2fkey", "ѕalt/key", "s\u200balt/key", "\uff53alt/key", " salt/key", "salt\\key", "salt/minion/alpha\n/start", "", None, 5,
    ],
)  # fmt: skip
def test_what_it_may_not(tag: object) -> None:
    assert why_not("alpha", tag, is_for_minion)
    assert sent({"tag": tag, "data": {}})[0] == []
    assert sent({"events": [{"tag": tag, "data": {}}]})[0] == []


def test_an_id_that_is_another_is_refused_and_not_corrected() -> None:
    load: dict[str, Any] = {"id": "beta", "tag": "myco/x", "data": {}, "cmd": "_minion_event"}
    assert sent(load) == ([], ["the load says that it is of 'beta'"])
    returned = {"cmd": "_return", "id": "beta", "jid": JID, "return": 1}
    assert sent(returned)[0] == []


@pytest.mark.parametrize("jid", ["20000101000000000000", f"{JID}/ret/beta/x", "", None, 5, "a\nb", "x" * 300])
def test_a_return_of_a_job_that_was_not_sent_to_it_is_refused(jid: object) -> None:
    events, refusals = sent({"cmd": "_return", "jid": jid, "return": 1})
    assert not events
    assert refusals


BROKEN: list[dict[str, Any]] = [
    {}, {"tag": "a"}, {"data": {}}, {"events": {}}, {"events": [5]}, {"events": [{}]}, {"events": [{"tag": "a", "data": 1}]},
    {"events": [{5: 1}]}, {"events": [{"tag": "a"}] * (EVENTS_MAX + 1)},
]  # fmt: skip


@pytest.mark.parametrize("load", BROKEN)
def test_a_load_that_is_none_makes_no_event_and_is_told(load: dict[str, Any]) -> None:
    events, refusals = sent(load)
    assert not events
    assert refusals


def test_a_return_of_a_job_that_nobody_has_sent_gets_a_jid() -> None:
    """As golden/events_master_bus.jsonl has it for salt-call."""
    arguments = ["myco/mytag", "foo=Foo"]
    load = {"cmd": "_return", "jid": "req", "id": "alpha", "fun": "event.send", "fun_args": arguments, "return": True}
    (event,), refusals = forward("alpha", load, NOW_S, is_for_minion, lambda: "20261123224717253458")
    assert event.tag == "salt/job/20261123224717253458/ret/alpha"
    assert event.data == {
        **load,
        "jid": "20261123224717253458",
        "arg": arguments,
        "tgt": "alpha",
        "tgt_type": "glob",
        "ts": NOW_S,
    }
    assert not refusals


def test_such_a_return_is_a_minions_own_too() -> None:
    load = {"cmd": "_return", "jid": "req", "id": "beta", "return": True, "tgt": "beta"}
    assert forward("alpha", load, NOW_S, is_for_minion, lambda: "1").events == []
    own = {**load, "id": "alpha"}
    ((_, data),), _ = forward("alpha", own, NOW_S, is_for_minion, lambda: "1")
    assert data["tgt"] == "alpha"
