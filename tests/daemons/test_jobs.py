"""The jobs of `sylvite minion`, as a process: published on its bus, done by processes of its own, and returned."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sylvite import Client
from tests.daemons.job_site import RETURN, UP, Jobs, JobSite
from tests.faults.other_user import NOBODY, IsWanted, needs_root, other_user

# -- What a job is -----------------------------------------------------------------------------------------------


def test_a_job_is_done_and_returned(jobs: Jobs) -> None:
    """The fields of Salt's, in its order (spec/salt-events.md 3.3); `ts` is the master's."""
    jid = jobs.publish("test.ping")
    assert list(jobs.returned(jid).items()) == [
        ("cmd", "_return"), ("id", "alpha"), ("success", True), ("return", True), ("retcode", 0), ("jid", jid),
        ("fun", "test.ping"), ("fun_args", []), ("user", "root"),
    ]  # fmt: skip


def test_what_a_caller_adds_comes_back(jobs: Jobs) -> None:
    returned = jobs.run("test.ping", metadata={"why": "a test"}, master_id="mars")
    assert list(returned)[-2:] == ["metadata", "master_id"]
    assert (returned["metadata"], returned["master_id"]) == ({"why": "a test"}, "mars")


def test_arguments_are_read_here_and_the_publication_is_given(jobs: Jobs) -> None:
    """As golden/events_master_bus.jsonl has it of a Salt minion."""
    jid = jobs.publish("test.arg", "[1, 2]", {"__kwarg__": True, "b": "c"})
    assert jobs.returned(jid)["return"] == {
        "args": [[1, 2]],
        "kwargs": {
            "b": "c", "__pub_arg": ["[1, 2]", {"__kwarg__": True, "b": "c"}], "__pub_fun": "test.arg", "__pub_jid": jid,
            "__pub_minion_is_target": True, "__pub_pure_resource_target": False, "__pub_resource_targets": [],
            "__pub_ret": "", "__pub_tgt": "alpha", "__pub_tgt_type": "glob", "__pub_user": "root",
        },
    }  # fmt: skip


def test_arguments_come_back_as_the_function_has_left_them(jobs: Jobs) -> None:
    """A dict that was fired bears its stamp in `fun_args`: Salt's does."""
    assert jobs.run("bad.changes", {"a": 1})["fun_args"] == [{"a": 1, "added": 1}]
    fired = jobs.run("event.fire", {"a": 1}, "myco/fired")
    assert set(fired["fun_args"][0]) == {"a", "_stamp"}
    assert any(event.tag == "myco/fired" and event.data["a"] == 1 for event in jobs.seen)


def test_several_functions_in_one_job(jobs: Jobs) -> None:
    returned = jobs.run(["test.ping", "test.echo", "no.such"], [], ["x"], [])
    assert returned["return"] == {"test.ping": True, "test.echo": "x", "no.such": "'no.such' is not available."}
    assert returned["retcode"] == {"test.ping": 0, "test.echo": 0, "no.such": 1}
    assert returned["success"] == {"test.ping": True, "test.echo": True, "no.such": False}
    assert (returned["fun"], returned["fun_args"]) == (["test.ping", "test.echo", "no.such"], [[], ["x"], []])


def test_the_start_of_a_job_is_told_to_those_who_ask(jobs: Jobs) -> None:
    jid = jobs.publish("test.ping", start_event=True, metadata={"a": 1}, master_id="mars")
    jobs.returned(jid)
    tag = f"salt/job/{jid}/start/alpha"
    assert jobs.tags_of(jid) == [f"salt/job/{jid}/publish", tag, RETURN]
    (start,) = [event.data for event in jobs.seen if event.tag == UP and event.data["tag"] == tag]
    assert start == {
        "tag": tag, "events": None, "pretag": None,
        "data": {
            "id": "alpha", "jid": jid, "fun": "test.ping", "tgt": "alpha", "tgt_type": "glob", "user": "root",
            "master_id": "mars", "metadata": {"a": 1},
        },
    }  # fmt: skip
    quiet = jobs.publish("test.ping")
    jobs.returned(quiet)
    assert jobs.tags_of(quiet) == [f"salt/job/{quiet}/publish", RETURN]


def test_what_a_function_yields_goes_up_while_it_runs(jobs: Jobs) -> None:
    jid = jobs.publish("test.stream", 2)
    assert jobs.returned(jid)["return"] == [0, 1]
    up = [event.data for event in jobs.seen if event.tag == UP and jid in event.data["tag"]]
    assert up == [
        {"tag": f"salt/job/{jid}/prog/alpha/{n}", "data": {"return": n}, "events": None, "pretag": None, "jid": jid}
        for n in (0, 1)
    ]


def test_return_codes_and_outputters(jobs: Jobs) -> None:
    returned = jobs.run("bad.number")
    assert (returned["return"], returned["retcode"], returned["success"]) == ("seven", 7, False)
    assert "out" not in returned
    assert jobs.run("bad.named")["out"] == "txt"
    missing = jobs.run("no.such_function")
    # golden/events_master_bus.jsonl
    assert (missing["return"], missing["retcode"], missing["success"], missing["out"]) == (
        "'no.such_function' is not available.", 1, False, "nested",
    )  # fmt: skip


def test_what_a_function_raises_is_its_return_and_an_error_event(jobs: Jobs) -> None:
    returned = jobs.run("test.exception", "oh no")
    said = "Error running 'test.exception': oh no"
    assert (returned["return"], returned["retcode"], returned["success"]) == (said, 1, False)
    told = {"message": said, "args": [said]}
    assert any(event.tag == "_salt_error" and event.data == told for event in jobs.seen)
    assert any(
        event.tag == UP and event.data["tag"] == "_salt_error" and event.data["data"] == told for event in jobs.seen
    )


def test_programs_are_off(jobs: Jobs) -> None:
    assert "running programs is off" in jobs.run("cmd.run", "true")["return"]


def test_a_worker_is_a_session_of_its_own_that_the_system_may_take_first(jobs: Jobs) -> None:
    assert jobs.value("bad.where") == [True, "500", True]


def test_a_worker_has_no_file_of_the_minions_but_its_own_stream(jobs: Jobs) -> None:
    assert jobs.value("bad.files") == ["/dev/null", "/dev/null", "/dev/null", "socket"]


# -- For whom it is ----------------------------------------------------------------------------------------------


def test_what_is_for_others_is_not_done(jobs: Jobs) -> None:
    others = [
        jobs.publish("test.ping", tgt="beta"),
        jobs.publish("test.ping", tgt="id:beta", tgt_type="grain"),
        jobs.publish("test.ping", tgt=["beta", "gamma"], tgt_type="list"),
        jobs.publish("test.ping", tgt="N@group", tgt_type="compound"),
        jobs.publish("test.ping", tgt="*", tgt_type="pillar"),
        jobs.publish("test.ping", tgt=17),
    ]
    ours = [
        jobs.publish("test.ping", tgt="*"),
        jobs.publish("test.ping", tgt="id:alpha", tgt_type="grain"),
        jobs.publish("test.ping", tgt=["beta", "alpha"], tgt_type="list"),
        jobs.publish("test.ping", tgt=["(", "alpha", "or", "beta", ")"], tgt_type="compound"),
        jobs.publish("test.ping", tgt="id|alpha", tgt_type="grain", delimiter="|"),
    ]
    for jid in ours:
        assert jobs.returned(jid)["return"] is True
    answered = {event.data["jid"] for event in jobs.seen if event.tag == RETURN}
    assert not answered & set(others)


def test_a_job_that_comes_twice_is_done_once(jobs: Jobs) -> None:
    jid = jobs.publish("test.ping")
    jobs.returned(jid)
    jobs.publish("test.ping", jid=jid)
    jobs.run("test.ping")  # Behind it.
    returns = [event.data["jid"] for event in jobs.seen if event.tag == RETURN]
    assert returns.count(jid) == 1


@pytest.mark.parametrize("jid", ["../../../etc/passwd", "20261123224730", "x/20261123224730000001"])
def test_what_bears_no_jid_is_not_done(jobs: Jobs, jid: str) -> None:
    jobs.publish("test.ping", jid=jid)
    jobs.fire("salt/job/20261123224730000000/publish", {"fun": "test.ping", "arg": [], "tgt": "*", "jid": "other"})
    jobs.run("test.ping")
    assert not [event for event in jobs.seen if event.tag == RETURN and event.data["jid"] in (jid, "other")]


@pytest.mark.parametrize(
    ("fun", "arg", "said"),
    [
        (17, [], "Expected `str`"), ("test.ping", "x", "Expected `array`"), (["test.ping"], [["a"], []], "1 functions with 2 lists"),
        ([], [], "0 functions"), (["test.ping"], ["x"], "Expected `array`"),
    ],
)  # fmt: skip
def test_a_job_that_cannot_be_read_is_answered(jobs: Jobs, fun: Any, arg: Any, said: str) -> None:
    returned = jobs.run(fun, arg=arg)
    assert returned["return"].startswith("The job cannot be read: ")
    assert said in returned["return"]
    assert (returned["success"], returned["retcode"], returned["fun"]) == (False, 1, fun)


@needs_root
def test_who_else_may_publish_here_cannot_have_anything_run(job_site: JobSite) -> None:
    """The policy lets him write the tag; what the minion runs, it runs for itself and for root."""
    run = job_site.minion_bus.parent
    run.mkdir(parents=True)
    run.chmod(0o755)
    rule = {"users": [NOBODY], "publish": ["salt/"]}
    jid = "20261123224739999999"
    job: dict[str, Any] = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": jid}

    def work(_: IsWanted) -> int:
        with Client.connect("bus.sock") as bus:
            return bus.publish(f"salt/job/{jid}/publish", job).offset

    with job_site.running(broker=json.dumps({"policy": {"rules": [rule]}})) as jobs:
        with other_user(work, run) as stranger:
            assert stranger.result() >= 0
        jobs.wait(lambda event: event.sender == f"uid:{NOBODY}", "event of the stranger")
        assert jobs.value("test.ping") is True
        assert not [event for event in jobs.seen if event.tag == RETURN and event.data["jid"] == jid]
        assert "is not heeded" in jobs.daemon.log.read_text()


def test_many_jobs_at_once_all_return(jobs: Jobs) -> None:
    """More than run at a time."""
    jids = [jobs.publish("test.echo", number) for number in range(300)]
    assert [jobs.returned(jid)["return"] for jid in jids] == list(range(300))
