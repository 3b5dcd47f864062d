"""Functions that do what they should not, and processes that die: what becomes of their jobs, and of all others."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from tests.daemons.job_site import RETURN, UP, WITHIN_S, Jobs, JobSite, is_alive, nurseries_of, wait_gone


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


# -- The end of a minion -----------------------------------------------------------------------------------------


def test_a_minion_that_stops_ends_its_jobs_and_says_so(job_site: JobSite, mark: Path) -> None:
    with job_site.running() as jobs:
        jid = jobs.publish("bad.hang", str(mark))
        worker, nursery = jobs.wait_for_file(mark), jobs.nursery
        assert jobs.daemon.stop() == 0
        wait_gone(worker)
        wait_gone(nursery)
    with job_site.minion(), Client.connect(job_site.minion_bus) as bus:
        event = bus.wait(RETURN, since="oldest", timeout_s=WITHIN_S)
        assert (event.data["jid"], event.data["return"]) == (jid, "The minion was stopped before this job had ended")


def test_more_jobs_than_may_wait_are_answered_each(job_site: JobSite, mark: Path) -> None:
    """Those beyond it at once, those that wait when the minion stops: nobody waits for one in vain."""
    with job_site.running(process_count_max="1") as jobs:
        holding = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        jids = [jobs.publish("test.ping") for _ in range(1100)]
        beyond = jobs.returned(jids[-1])
        assert beyond["return"] == "The minion is busy: 1 jobs run, and 1000 wait"
        assert jobs.value("saltutil.find_job", jids[999])["jid"] == jids[999]
        assert jobs.daemon.stop() == 0
    with (
        job_site.minion(),
        Client.connect(job_site.minion_bus) as bus,
        bus.subscribe(exact=RETURN, since="oldest", until_end=True) as returns,
    ):
        answered = [event.data["jid"] for event in returns if event.data["fun"] != "saltutil.find_job"]
    assert sorted(answered) == sorted([holding, *jids])


def test_a_minion_that_is_killed_leaves_nothing_running(job_site: JobSite, mark: Path) -> None:
    with job_site.running() as jobs:
        jobs.publish("bad.starts", str(mark))
        program, nursery = jobs.wait_for_file(mark), jobs.nursery
        jobs.daemon.kill()
        wait_gone(nursery)
        wait_gone(program)
    with job_site.running() as jobs:
        # And the job, whose file is still there, does not run for those who look.
        assert jobs.value("saltutil.running") == []
