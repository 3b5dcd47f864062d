"""The jobs of `sylvite minion`, as a process: published on its bus, done by processes of its own, and returned, whatever functions do."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from tests.daemons.job_site import RETURN, UP, WITHIN_S, Jobs, JobSite, is_alive, nurseries_of, wait_gone
from tests.faults.other_user import NOBODY, IsWanted, needs_root, other_user


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """One minion for all tests that leave it as it was: that is what they show."""
    site = JobSite(tmp_path_factory.mktemp("jobs"))
    with site.running() as jobs:
        yield jobs


@pytest.fixture
def site(tmp_path: Path) -> JobSite:
    return JobSite(tmp_path)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


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
def test_who_else_may_publish_here_cannot_have_anything_run(site: JobSite) -> None:
    """The policy lets him write the tag; what the minion runs, it runs for itself and for root."""
    run = site.minion_bus.parent
    run.mkdir(parents=True)
    run.chmod(0o755)
    rule = {"users": [NOBODY], "publish": ["salt/"]}
    jid = "20261123224739999999"
    job: dict[str, Any] = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": jid}

    def work(_: IsWanted) -> int:
        with Client.connect("bus.sock") as bus:
            return bus.publish(f"salt/job/{jid}/publish", job).offset

    with site.running(broker=json.dumps({"policy": {"rules": [rule]}})) as jobs:
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


# -- Bad days ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fun", "arg", "said", "retcode"),
    [
        ("bad.exits", [0], "has ended with exit code 0 before it returned", 1),
        ("bad.exits", [3], "has ended with exit code 3 before it returned", 3),
        ("bad.segfault", [], "was ended by SIGSEGV before it returned", 139),
        ("bad.closes", [], "has ended with exit code 1 before it returned", 1),
        ("bad.closes_and_hangs", [], "has closed the way back", 1),
        ("bad.garbage", [], "The process of this job was ended: ", 1),
        ("bad.interrupt", [], "Error running 'bad.interrupt': KeyboardInterrupt", 1),
        ("bad.leaves", [], "Error running 'bad.leaves': 3", 1),
        ("bad.eats", [], "Error running 'bad.eats': MemoryError", 1),
    ],
)
def test_a_function_that_breaks_its_process_costs_its_own_job(
    jobs: Jobs, fun: str, arg: list[Any], said: str, retcode: int
) -> None:
    beside = jobs.publish("test.sleep", 0.2)
    returned = jobs.run(fun, *arg)
    assert said in returned["return"]
    assert (returned["success"], returned["retcode"], returned["out"]) == (False, retcode, "nested")
    assert jobs.returned(beside)["return"] is True
    assert jobs.value("test.ping") is True


def test_a_crash_is_told_as_an_error_too(jobs: Jobs) -> None:
    said = jobs.run("bad.segfault")["return"]
    assert any(event.tag == "_salt_error" and event.data["message"] == said for event in jobs.seen)


def test_a_function_that_forks_returns_once(jobs: Jobs) -> None:
    jid = jobs.publish("bad.forks")
    assert jobs.returned(jid)["return"] == "parent"
    jobs.value("test.ping")
    assert [event.data["jid"] for event in jobs.seen if event.tag == RETURN].count(jid) == 1


def test_a_function_that_leaves_a_process_behind_has_returned(jobs: Jobs, mark: Path) -> None:
    """Though that process holds the way back open."""
    assert jobs.value("bad.daemon", str(mark)) == "done"
    left = int(mark.read_text())
    assert is_alive(left)
    os.kill(left, signal.SIGKILL)
    wait_gone(left)
    assert jobs.value("test.ping") is True


def memory_of(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def test_a_return_that_is_too_big_is_replaced_and_the_minion_does_not_grow(jobs: Jobs) -> None:
    before = memory_of(jobs.daemon.pid)
    returned = jobs.run("bad.big", 100 * 1024 * 1024)
    assert returned["return"].startswith("VALUE_TRIMMED: 104857605 bytes; at most ")
    # That it cannot be shown does not undo that it was done.
    assert (returned["success"], returned["retcode"]) == (True, 0)
    assert jobs.run("bad.many", 100_000)["return"].startswith("VALUE_TRIMMED: more than 16384 maps and lists")
    assert memory_of(jobs.daemon.pid) - before < 16 * 1024 * 1024


def test_a_return_that_just_fits_arrives_whole(jobs: Jobs) -> None:
    size = 1024 * 1024 - 20 * 1024
    value = jobs.value("bad.big", size)
    assert (len(value), set(value)) == (size, {"x"})


def test_big_arguments_make_way_for_the_return(jobs: Jobs) -> None:
    argument = "y" * 700_000
    returned = jobs.run("test.echo", argument)
    assert returned["return"] == argument or returned["return"].startswith("VALUE_TRIMMED")
    assert returned["success"] is True


@pytest.mark.parametrize(
    ("fun", "arg", "shown"),
    [("bad.strange", [], "{'a': <class 'object'>}"), ("bad.deep", [500], "[[["), ("bad.surrogate", [], "'\\udcff'")],
)
def test_what_no_event_can_carry_is_shown_as_text(jobs: Jobs, fun: str, arg: list[Any], shown: str) -> None:
    value = jobs.value(fun, *arg)
    assert value.startswith(shown) or (fun == "bad.deep" and "cannot be shown" in value)


def test_what_is_printed_goes_nowhere_and_what_is_logged_to_the_log_as_far_as_that_is_bearable(jobs: Jobs) -> None:
    before = jobs.daemon.log.stat().st_size
    assert jobs.value("bad.prints", 5_000_000) == "done"
    jid = jobs.publish("bad.logs", 20_000)
    assert jobs.returned(jid)["return"] == "done"
    jobs.value("test.ping")
    log = jobs.daemon.log.read_text()[before:]
    assert f"bad: warning: job {jid}: line 0\n" in log
    assert "there is more, which is not shown" in log
    assert len(log) < 100_000


def test_progress_that_is_too_big_is_replaced(jobs: Jobs) -> None:
    jid = jobs.publish("bad.yields_big", 2_000_000)
    assert jobs.returned(jid)["return"].startswith("VALUE_TRIMMED")
    (up,) = [event.data for event in jobs.seen if event.tag == UP and event.data.get("jid") == jid]
    assert up["data"]["return"].startswith("VALUE_TRIMMED")


def test_a_nursery_that_dies_is_started_again_and_its_jobs_fail(jobs: Jobs, mark: Path) -> None:
    jid = jobs.publish("bad.hang", str(mark))
    worker = jobs.wait_for_file(mark)
    nursery = jobs.nursery
    os.kill(nursery, signal.SIGKILL)
    assert "The process that runs the jobs of this minion has died" in jobs.returned(jid)["return"]
    wait_gone(worker)
    assert jobs.value("test.ping") is True
    assert jobs.nursery != nursery


def test_every_job_returns_once_though_the_nursery_dies_again_and_again(jobs: Jobs) -> None:
    """And though it is exchanged in between: whatever moment of a job that meets."""
    chance = random.Random(4)
    jids: list[str] = []
    for _ in range(6):
        jids += [jobs.publish("test.sleep", chance.choice([0, 0.05, 0.2])) for _ in range(10)]
        if chance.random() < 0.5:
            jobs.fire("module_refresh", {})
        jobs.returned(jids[-chance.randint(1, 10)])
        for nursery in nurseries_of(jobs.daemon.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(nursery, signal.SIGKILL)
    returns = [jobs.returned(jid)["return"] for jid in jids]
    died = "The process that runs the jobs of this minion has died, and this job with it"
    assert {str(value) for value in returns} <= {"True", died}
    assert jobs.value("test.ping") is True
    seen = [event.data["jid"] for event in jobs.seen if event.tag == RETURN and event.data["jid"] in jids]
    assert sorted(seen) == sorted(jids)


# -- Looking after jobs ------------------------------------------------------------------------------------------


def test_jobs_that_run_are_found(jobs: Jobs, mark: Path) -> None:
    jid = jobs.publish("bad.hang", str(mark), metadata={"a": 1})
    pid = jobs.wait_for_file(mark)
    # As Salt's documentation of find_job shows it.
    shown = {
        "jid": jid, "fun": "bad.hang", "arg": [str(mark)], "tgt": "alpha", "tgt_type": "glob", "ret": "",
        "user": "root", "metadata": {"a": 1}, "pid": pid,
    }  # fmt: skip
    assert jobs.value("saltutil.running") == [shown]
    assert jobs.value("saltutil.find_job", jid) == shown
    assert jobs.value("saltutil.find_job", "20261123224730999999") == {}
    assert jobs.value("saltutil.is_running", "bad.*") == [shown]
    assert jobs.value("saltutil.is_running", "test.*") == []
    assert jobs.value("saltutil.kill_job", jid) == f"Signal 9 sent to job {jid} at pid {pid}"
    assert "was ended by SIGKILL" in jobs.returned(jid)["return"]
    wait_gone(pid)
    assert jobs.value("saltutil.running") == []
    assert jobs.value("saltutil.kill_job", jid) == ""


def test_a_job_that_is_asked_to_end_ends(jobs: Jobs, mark: Path) -> None:
    jid = jobs.publish("bad.hang", str(mark))
    jobs.wait_for_file(mark)
    jobs.value("saltutil.term_job", jid)
    returned = jobs.returned(jid)
    assert (returned["return"], returned["retcode"]) == (
        "The process of this job was ended by SIGTERM before it returned",
        143,
    )


def test_a_job_ends_with_what_it_has_started_in_other_sessions(jobs: Jobs, mark: Path) -> None:
    jid = jobs.publish("bad.starts", str(mark))
    program = jobs.wait_for_file(mark)
    assert is_alive(program)
    jobs.value("saltutil.kill_job", jid)
    jobs.returned(jid)
    wait_gone(program)


def test_all_jobs_are_ended_but_the_one_that_ends_them(jobs: Jobs, tmp_path: Path) -> None:
    marks = [tmp_path / name for name in ("one", "two")]
    jids = [jobs.publish("bad.hang", str(mark)) for mark in marks]
    for mark in marks:
        jobs.wait_for_file(mark)
    assert len(jobs.value("saltutil.term_all_jobs")) == 2
    for jid in jids:
        assert jobs.returned(jid)["retcode"] == 143
    assert jobs.value("saltutil.kill_all_jobs") == []


def test_jobs_wait_for_each_other_but_those_that_look_after_them_do_not(site: JobSite, mark: Path) -> None:
    """Where as many run as may, more wait in order; they are found, and ended, like those that run."""
    with site.running(process_count_max="1") as jobs:
        holding = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        waiting = [jobs.publish("test.echo", number) for number in range(3)]
        assert [job["jid"] for job in jobs.value("saltutil.running")] == [holding, *waiting]
        assert jobs.value("saltutil.find_job", waiting[0])["pid"] is None
        assert jobs.value("saltutil.term_job", waiting[1]) == f"Job {waiting[1]} was waiting, and will not be run"
        assert not [event for event in jobs.seen if event.tag == RETURN and event.data["jid"] in waiting]
        jobs.value("saltutil.kill_job", holding)
        assert [jobs.returned(jid)["return"] for jid in waiting] == [0, "The job was ended while it waited", 2]


def test_a_job_may_not_run_for_ever(site: JobSite, mark: Path) -> None:
    """Neither one that is deaf to SIGTERM, nor what it has started, nor one that goes on telling of its progress."""
    with site.running(job_timeout="1") as jobs:
        deaf, endless = jobs.publish("bad.deaf", str(mark)), jobs.publish("bad.endless", 1000)
        started = jobs.publish("bad.starts", f"{mark}2")
        program = jobs.wait_for_file(Path(f"{mark}2"))
        for jid in (started, endless, deaf):
            returned = jobs.returned(jid)
            assert returned["return"] == "Timed out after 1 seconds (job_timeout), and was ended"
            assert (returned["success"], returned["retcode"]) == (False, 124)
        wait_gone(jobs.wait_for_file(mark))
        wait_gone(program)
        assert f"salt/job/{endless}/prog/alpha/0" in jobs.tags_of(endless)
        assert jobs.value("test.ping") is True


def test_the_limit_of_time_counts_as_soon_as_the_configuration_is_read_again(site: JobSite, mark: Path) -> None:
    """For jobs that begin then; and functions see what is configured."""
    with site.running() as jobs:
        endless = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        site.configure_minion(
            master_type="disable", module_dirs=f"[{site.modules}]", job_timeout="1", **{"test.foo": "new"}
        )  # fmt: skip
        os.kill(jobs.daemon.pid, signal.SIGHUP)
        complete = "/salt/minion/minion_mod_refresh_complete"
        jobs.wait(lambda event: event.tag == complete, complete)
        assert jobs.value("test.conf_test") == "new"
        assert "Timed out after 1 seconds" in jobs.run("bad.hang")["return"]
        assert [job["jid"] for job in jobs.value("saltutil.running")] == [endless]
        jobs.value("saltutil.kill_job", endless)
        jobs.returned(endless)


@pytest.mark.parametrize("event_bytes", [4 * 1024 * 1024, 64 * 1024, 4096])
def test_returns_keep_to_what_the_bus_allows(site: JobSite, event_bytes: int) -> None:
    """A setting of the broker; no client publishes more than 1 MiB."""
    with site.running(broker=json.dumps({"limits": {"event_bytes": event_bytes}})) as jobs:
        size = min(event_bytes, 1024 * 1024) // 2 - 200
        value = jobs.value("bad.big", size)
        assert (len(value), set(value)) == (size, {"x"})
        assert jobs.value("bad.big", 5_000_000).startswith("VALUE_TRIMMED: 5000005 bytes; at most ")


def test_a_folder_of_jobs_that_others_could_write_to_ends_the_start(site: JobSite) -> None:
    cache = site.folder / "n" / "cache"
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    site.configure_minion(master_type="disable")
    ended = subprocess.run(
        [sys.executable, "-m", "sylvite", "minion", "--config", str(site.minion_file)],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 78
    assert "cachedir" in ended.stderr
    assert "Traceback" not in ended.stderr


# -- The end of a minion -----------------------------------------------------------------------------------------


def test_a_minion_that_stops_ends_its_jobs_and_says_so(site: JobSite, mark: Path) -> None:
    with site.running() as jobs:
        jid = jobs.publish("bad.hang", str(mark))
        worker, nursery = jobs.wait_for_file(mark), jobs.nursery
        assert jobs.daemon.stop() == 0
        wait_gone(worker)
        wait_gone(nursery)
    with site.minion(), Client.connect(site.minion_bus) as bus:
        event = bus.wait(RETURN, since="oldest", timeout_s=WITHIN_S)
        assert (event.data["jid"], event.data["return"]) == (jid, "The minion was stopped before this job had ended")


def test_a_minion_that_is_killed_leaves_nothing_running(site: JobSite, mark: Path) -> None:
    with site.running() as jobs:
        jobs.publish("bad.starts", str(mark))
        program, nursery = jobs.wait_for_file(mark), jobs.nursery
        jobs.daemon.kill()
        wait_gone(nursery)
        wait_gone(program)
    with site.running() as jobs:
        # And the job, whose file is still there, does not run for those who look.
        assert jobs.value("saltutil.running") == []


# -- Modules -----------------------------------------------------------------------------------------------------


def test_new_modules_are_found_and_told(site: JobSite) -> None:
    with site.running() as jobs:
        nursery = jobs.nursery_when_ready()
        assert jobs.value("saltutil.sync_modules") == []
        site.write_module("mine", "def f(): return 'first'\n")
        assert jobs.value("mine.f") == "first"
        assert jobs.value("saltutil.sync_all") == {"modules": ["modules.mine"]}
        complete = "/salt/minion/minion_mod_refresh_complete"
        assert jobs.wait(lambda event: event.tag == complete, complete).data == {"complete": True}
        assert jobs.value("saltutil.sync_modules") == []
        wait_gone(nursery)
        assert len(nurseries_of(jobs.daemon.pid)) == 1


def test_a_job_goes_on_while_modules_are_read_again(site: JobSite, mark: Path) -> None:
    with site.running() as jobs:
        jid = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        jobs.value("saltutil.refresh_modules")
        complete = "/salt/minion/minion_mod_refresh_complete"
        jobs.wait(lambda event: event.tag == complete, complete)
        assert [job["jid"] for job in jobs.value("saltutil.running")] == [jid]
        jobs.value("saltutil.kill_job", jid)
        assert "SIGKILL" in jobs.returned(jid)["return"]


def test_a_module_that_hangs_or_dies_when_it_is_loaded_costs_the_jobs_that_want_it(site: JobSite) -> None:
    site.write_module("dies", "import os\nos._exit(5)\n")
    with site.running() as jobs:
        assert "exit code 5" in jobs.run("dies.f")["return"]
        assert jobs.value("test.ping") is True
