"""LocalClient and AsyncLocalClient on a real bus, with minions that are played."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from sylvite import Client
from sylvite.errors import ConnectionLost, InvalidInput, InvalidJid, InvalidTarget
from sylvite.jobs.async_local_client import AsyncLocalClient
from sylvite.jobs.client_core import MasterPlace
from sylvite.jobs.collecting import NOT_CONNECTED
from sylvite.jobs.local_client import LocalClient
from tests.jobs.scripted import SILENT, WITHIN_S, Master, Minions, ping, send_return

GRAINS: dict[str, dict[str, Any]] = {
    "web1": {"os": "Debian", "ipv4": ["10.0.1.7"]},
    "web2": {"os": "Fedora", "ipv4": ["10.0.2.9"]},
    "db1": {"os": "Debian", "ipv4": ["10.0.1.8"]},
}
AWAY = "old1"


class BlockingLocalClient:
    """An AsyncLocalClient with a loop of its own, each call run to its end."""

    def __init__(self, place: MasterPlace) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._connected(place))

    @staticmethod
    async def _connected(place: MasterPlace) -> AsyncLocalClient:
        return await AsyncLocalClient.connect(place)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            found = method(*arguments, **named)
            return self._all(found) if inspect.isasyncgen(found) else self._runner.run(found)

        return call

    def _all(self, found: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(found, SILENT)

        while (item := self._runner.run(following())) is not SILENT:
            yield item

    def __enter__(self) -> BlockingLocalClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    grains = {**GRAINS, AWAY: {"os": "Plan9"}}
    with Master(tmp_path_factory.mktemp("jobs") / "m", grains, present=list(GRAINS)) as started:
        yield started


@pytest.fixture(params=["sync", "async"])
def local(request: pytest.FixtureRequest, master: Master) -> Iterator[LocalClient]:
    with cast(
        "LocalClient",
        LocalClient.connect(master.place) if request.param == "sync" else BlockingLocalClient(master.place),
    ) as client:
        yield client


@pytest.fixture
def minions(master: Master) -> Iterator[Minions]:
    with Minions(master.broker.socket, GRAINS) as played:
        yield played


def merged(found: Iterator[Any]) -> dict[str, Any]:
    return {minion: shown for each in found if each is not None for minion, shown in each.items()}


def test_all_minions_answer(local: LocalClient, minions: Minions) -> None:
    assert local.cmd("*eb[12]", "test.ping") == {"web1": True, "web2": True}
    (_, publication), _ = minions.asked
    assert {name: publication[name] for name in publication if name not in ("jid", "_stamp")} == {
        "fun": "test.ping", "arg": [], "tgt": "*eb[12]", "ret": "", "tgt_type": "glob", "user": publication["user"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "expected"),
    [
        ("web1,db1", "list", ["db1", "web1"]),
        (["web1", "web2"], "list", ["web1", "web2"]),
        (r"web\d", "pcre", ["web1", "web2"]),
        ("os:Debian", "grain", ["db1", "web1"]),
        ("os:(Debian|Fedora)", "grain_pcre", ["db1", "web1", "web2"]),
        ("10.0.1.0/24", "ipcidr", ["db1", "web1"]),
        ("G@os:Debian and not db*", "compound", ["web1"]),
    ],
)
@pytest.mark.usefixtures("minions")
def test_types_of_targets(local: LocalClient, tgt: str | list[str], tgt_type: str, expected: list[str]) -> None:
    assert sorted(local.cmd(tgt, "test.ping", tgt_type=tgt_type)) == expected


def test_a_nodegroup_reaches_the_minions_as_what_it_stands_for(master: Master, minions: Minions) -> None:
    place = MasterPlace(
        socket=master.place.socket, data_dir=master.place.data_dir, nodegroups={"debians": "G@os:Debian or web2"}
    )
    with LocalClient.connect(place) as local:
        assert len(local.cmd("debians", "test.ping", tgt_type="nodegroup")) == 3
    assert minions.asked[0][1]["tgt"] == ["(", "G@os:Debian", "or", "web2", ")"]
    assert minions.asked[0][1]["tgt_type"] == "compound"


@pytest.mark.parametrize("tgt_type", ["pillar", "range", "nodegroup", "nonsense"])
def test_targets_that_nobody_can_resolve(local: LocalClient, tgt_type: str) -> None:
    with pytest.raises(InvalidTarget):
        local.cmd("x", "test.ping", tgt_type=tgt_type)


def test_arguments_and_options_reach_the_minions(local: LocalClient, minions: Minions) -> None:
    local.cmd("web1", "test.arg", ["a", 1], kwarg={"b": 2}, metadata={"why": "a test"}, start_event=True, ret="elastic")
    ((_, publication),) = minions.asked
    assert publication["arg"] == ["a", 1, {"b": 2, "__kwarg__": True}]
    assert (publication["metadata"], publication["start_event"], publication["ret"]) == (
        {"why": "a test"}, True, "elastic"
    )  # fmt: skip


def test_several_functions_are_one_job(local: LocalClient, minions: Minions) -> None:
    local.cmd("web1", ["test.ping", "test.arg"], [[], ["a"]])
    assert (minions.asked[0][1]["fun"], minions.asked[0][1]["arg"]) == (["test.ping", "test.arg"], [[], ["a"]])
    with pytest.raises(InvalidInput):
        local.cmd("web1", ["test.ping", "test.arg"], [[]])


def test_both_events_of_a_job(local: LocalClient, master: Master) -> None:
    with Client.connect(master.broker.socket) as bus, bus.subscribe("salt/job/") as events:
        job = local.pub(["web1", "gone", AWAY], "test.ping", tgt_type="list", jid="20261123224730771814")
        assert job == {"jid": "20261123224730771814", "minions": [AWAY, "web1"]}
        new, publish = events.next(WITHIN_S), events.next(WITHIN_S)
    assert new is not None
    assert publish is not None
    assert (new.tag, publish.tag) == (f"salt/job/{job['jid']}/new", f"salt/job/{job['jid']}/publish")
    assert list(new.data) == ["jid", "tgt_type", "tgt", "user", "fun", "arg", "minions", "missing", "_stamp"]
    assert (new.data["minions"], new.data["missing"]) == ([AWAY, "web1"], ["gone"])
    assert list(publish.data) == ["fun", "arg", "tgt", "jid", "ret", "tgt_type", "user", "_stamp"]


def test_no_minion_matches(local: LocalClient, minions: Minions) -> None:
    """There is no job then."""
    assert local.cmd("nobody", "test.ping") == {}
    assert local.cmd_async("nobody", "test.ping") == 0
    assert local.run_job("nobody", "test.ping") == {}
    assert list(local.cmd_iter("nobody", "test.ping")) == []
    assert list(local.cmd_batch("nobody", "test.ping")) == []
    assert local.cmd_subset("nobody", "test.ping") == {}
    assert minions.asked == []


def test_one_that_does_not_answer_is_asked_and_then_given_up(local: LocalClient, master: Master) -> None:
    def play(minion: str, publication: Mapping[str, Any]) -> Any:
        return SILENT if (minion, publication["fun"]) == ("web2", "test.ping") else ping(minion, publication)

    with Minions(master.broker.socket, GRAINS, play) as minions:
        assert local.cmd("web*", "test.ping") == {"web1": True, "web2": False}
    assert [(minion, each["fun"]) for minion, each in minions.asked][2:] == [("web2", "saltutil.find_job")]
    assert minions.asked[2][1]["arg"] == [minions.asked[0][1]["jid"]]


def test_one_that_runs_it_is_waited_for(local: LocalClient, master: Master) -> None:
    """It says twice that it is at it; then it answers."""
    job: dict[str, Any] = {}
    questions: list[str] = []

    def play(minion: str, publication: Mapping[str, Any]) -> Any:
        if publication["fun"] != "saltutil.find_job":
            job.update(publication)
            return SILENT
        questions.append(minion)
        if len(questions) > 2:
            with Client.connect(master.broker.socket) as bus:
                send_return(bus, job, minion, {"return": "at last", "retcode": 0})
        return {"jid": job["jid"], "pid": 4711}

    with Minions(master.broker.socket, GRAINS, play):
        assert local.cmd("web1", "test.sleep") == {"web1": "at last"}
    assert len(questions) == 3


def test_one_that_is_away_is_not_asked(local: LocalClient, minions: Minions) -> None:
    found = merged(local.cmd_cli("*1", "test.ping"))
    assert found[AWAY]["ret"] == NOT_CONNECTED
    assert (found["web1"]["ret"], found["db1"]["ret"]) == (True, True)
    assert all(each["fun"] == "test.ping" for _, each in minions.asked)


def test_shapes(local: LocalClient, minions: Minions) -> None:
    del minions
    (shown,) = local.cmd_iter("web1", "test.fail")
    assert shown["web1"].pop("jid")
    assert shown == {"web1": {"ret": "it went wrong", "retcode": 3, "success": False}}
    (shown,) = merged(local.cmd_iter_no_block("web1", "test.ping")).values()
    assert shown["ret"] is True
    assert local.cmd_full_return("web1", "test.ping")["web1"]["retcode"] == 0
    assert local.cmd("web1", "test.ping", full_return=True)["web1"]["success"] is True
    failed = merged(local.cmd_iter(AWAY, "test.ping"))
    assert failed == {AWAY: {"failed": True}}


def test_a_return_counts_once(local: LocalClient, master: Master) -> None:
    def play(minion: str, publication: Mapping[str, Any]) -> Any:
        if minion == "web1":
            with Client.connect(master.broker.socket) as bus:
                for value in ("first", "second"):
                    send_return(bus, publication, "web1", {"return": value})
                send_return(bus, publication, "db1", {"return": "of nobody who was asked"})
            return SILENT
        return ping(minion, publication)

    with Minions(master.broker.socket, GRAINS, play):
        assert local.cmd("web*", "test.ping") == {"web1": "first", "web2": True}


def test_returns_that_came_before_they_were_asked_for(local: LocalClient, master: Master, minions: Minions) -> None:
    del minions
    job = local.run_job("web*", "test.ping")
    with Client.connect(master.broker.socket) as bus:
        for minion in job["minions"]:
            bus.wait(f"salt/job/{job['jid']}/ret/{minion}", since="1h", timeout_s=WITHIN_S)
    assert local.get_returns(job["jid"], job["minions"]) == {"web1": True, "web2": True}
    assert sorted(merged(local.get_iter_returns(job["jid"], job["minions"]))) == ["web1", "web2"]
    assert sorted(merged(local.get_event_iter_returns(job["jid"], job["minions"]))) == ["web1", "web2"]
    with pytest.raises(InvalidJid):
        local.get_returns("../../etc", ["web1"])


def test_a_batch_goes_from_minion_to_minion(local: LocalClient, master: Master, minions: Minions) -> None:
    with Client.connect(master.broker.socket) as bus, bus.subscribe("salt/") as events:
        found = merged(local.cmd_batch("*", "test.ping", batch=1))
        told = list(iter(lambda: events.next(0.0), None))
    assert found == {"db1": True, "web1": True, "web2": True}, "one that is away gets nothing"
    jids = {publication["jid"] for _, publication in minions.asked}
    assert len(jids) == 1
    (jid,) = jids
    steps = [event.tag.removeprefix("salt/").replace(jid, "J") for event in told]
    assert [each for each in steps if each.startswith("batch")] == [
        "batch/J/new", "batch/J/progress", "batch/J/progress", "batch/J/progress", "batch/J/complete"
    ]  # fmt: skip
    assert [event.data["tgt"] for event in told if event.tag.endswith("/publish")] == [["db1"], ["web1"], ["web2"]]
    assert {event.data["tgt_type"] for event in told if event.tag.endswith("/publish")} == {"list"}


def test_a_batch_ends_at_the_first_that_fails(local: LocalClient, minions: Minions) -> None:
    found = list(local.cmd_batch("*", "test.fail", batch="1%", failhard=True, raw=True))
    assert [list(each) for each in found] == [["db1"]]
    assert len(minions.asked) == 1
    with pytest.raises(InvalidInput, match="no size of a batch"):
        list(local.cmd_batch("*", "test.ping", batch="lots"))


def test_a_batch_that_is_left_goes_no_further(master: Master, minions: Minions) -> None:
    with (
        LocalClient.connect(master.place) as local,
        Client.connect(master.broker.socket) as bus,
        bus.subscribe("salt/batch/") as events,
    ):
        _, returns = local.start_batch("*", "test.ping", batch=1)
        with returns:
            assert returns.next(WITHIN_S) is not None
        told = [event.tag.rpartition("/")[2] for event in iter(lambda: events.next(0.5), None)]
    assert (told[0], told[-1]) == ("new", "halted")
    assert len(minions.asked) == 1


def test_a_subset_is_chosen_of_those_that_have_the_function(local: LocalClient, minions: Minions) -> None:
    assert len(local.cmd_subset("web*", "test.ping", subset=1)) == 1
    assert len(local.cmd_subset("*", "test.ping", subset=9)) == 3
    assert local.cmd_subset("web*", "no.such", subset=1) == {}
    with pytest.raises(InvalidInput):
        local.cmd_subset("*", "test.ping", subset=0)
    assert {each["fun"] for _, each in minions.asked} == {"sys.list_functions", "test.ping"}


def test_a_broker_that_is_started_again_meanwhile_costs_nothing(tmp_path: Path) -> None:
    """The return comes over the new connection."""
    with Master(tmp_path / "m", {"web1": {}}) as master:
        place = MasterPlace(socket=master.place.socket, data_dir=master.place.data_dir, timeout_s=WITHIN_S)
        with LocalClient.connect(place) as local:
            published, returns = local.start("web1", "test.ping")
            with returns:
                master.broker.kill()
                master.broker.start()
                with Client.connect(master.broker.socket) as bus:
                    about: dict[str, Any] = {"jid": published.jid, "fun": "test.ping", "arg": [], "user": "root"}
                    send_return(bus, about, "web1", {"return": "over the new one"})
                assert [(each.minion, each.data["return"]) for each in returns] == [("web1", "over the new one")]


def test_a_broker_that_stays_away_is_said_with_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sylvite.jobs.returns.ANSWER_S", 0.5)
    with Master(tmp_path / "m", {"web1": {}}) as master, LocalClient.connect(master.place) as local:
        published, returns = local.start("web1", "test.ping")
        with returns:
            master.broker.kill()
            with pytest.raises(ConnectionLost) as caught:
                returns.next()
        assert caught.value.__notes__ == [f"the job {published.jid} goes on"]


def names(kind: type) -> dict[str, Any]:
    return {
        name: inspect.signature(member).parameters
        for name, member in inspect.getmembers(kind, inspect.isroutine)
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_names_and_arguments() -> None:
    ours, theirs = names(LocalClient), names(AsyncLocalClient)
    assert list(ours) == list(theirs)
    for name, mine in ours.items():
        its = theirs[name]
        assert [(one.name, one.kind, one.default) for one in mine.values()] == [
            (one.name, one.kind, one.default) for one in its.values()
        ], name
        assert getattr(LocalClient, name).__doc__
        assert getattr(AsyncLocalClient, name).__doc__
