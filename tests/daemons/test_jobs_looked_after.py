"""Jobs that run are found, ended and limited, as `saltutil` of Salt does it; modules are read again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemons.job_site import RETURN, WITHIN_S, Jobs, JobSite, is_alive, nurseries_of, wait_gone


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


def test_jobs_wait_for_each_other_but_those_that_look_after_them_do_not(job_site: JobSite, mark: Path) -> None:
    """Where as many run as may, more wait in order; they are found, and ended, like those that run."""
    with job_site.running(process_count_max="1") as jobs:
        holding = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        waiting = [jobs.publish("test.echo", number) for number in range(3)]
        assert [job["jid"] for job in jobs.value("saltutil.running")] == [holding, *waiting]
        assert jobs.value("saltutil.find_job", waiting[0])["pid"] is None
        assert jobs.value("saltutil.term_job", waiting[1]) == f"Job {waiting[1]} was waiting, and will not be run"
        assert not [event for event in jobs.seen if event.tag == RETURN and event.data["jid"] in waiting]
        jobs.value("saltutil.kill_job", holding)
        assert [jobs.returned(jid)["return"] for jid in waiting] == [0, "The job was ended while it waited", 2]


def test_a_job_may_not_run_for_ever(job_site: JobSite, mark: Path) -> None:
    """Neither one that is deaf to SIGTERM, nor what it has started, nor one that goes on telling of its progress."""
    with job_site.running(job_timeout="1") as jobs:
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


def test_the_limit_of_time_counts_as_soon_as_the_configuration_is_read_again(job_site: JobSite, mark: Path) -> None:
    """For jobs that begin then; and functions see what is configured."""
    with job_site.running() as jobs:
        endless = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        job_site.configure_minion(
            master_type="disable", module_dirs=f"[{job_site.modules}]", job_timeout="1", **{"test.foo": "new"}
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
def test_returns_keep_to_what_the_bus_allows(job_site: JobSite, event_bytes: int) -> None:
    """A setting of the broker; no client publishes more than 1 MiB."""
    with job_site.running(broker=json.dumps({"limits": {"event_bytes": event_bytes}})) as jobs:
        size = min(event_bytes, 1024 * 1024) // 2 - 200
        value = jobs.value("bad.big", size)
        assert (len(value), set(value)) == (size, {"x"})
        assert jobs.value("bad.big", 5_000_000).startswith("VALUE_TRIMMED: 5000005 bytes; at most ")


def test_a_folder_of_jobs_that_others_could_write_to_ends_the_start(job_site: JobSite) -> None:
    cache = job_site.folder / "n" / "cache"
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    job_site.configure_minion(master_type="disable")
    ended = subprocess.run(
        [sys.executable, "-m", "sylvite", "minion", "--config", str(job_site.minion_file)],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 78
    assert "cachedir" in ended.stderr
    assert "Traceback" not in ended.stderr


# -- Modules -----------------------------------------------------------------------------------------------------


def test_new_modules_are_found_and_told(job_site: JobSite) -> None:
    with job_site.running() as jobs:
        nursery = jobs.nursery_when_ready()
        assert jobs.value("saltutil.sync_modules") == []
        job_site.write_module("mine", "def f(): return 'first'\n")
        assert jobs.value("mine.f") == "first"
        assert jobs.value("saltutil.sync_all") == {"modules": ["modules.mine"]}
        complete = "/salt/minion/minion_mod_refresh_complete"
        assert jobs.wait(lambda event: event.tag == complete, complete).data == {"complete": True}
        assert jobs.value("saltutil.sync_modules") == []
        wait_gone(nursery)
        assert len(nurseries_of(jobs.daemon.pid)) == 1


def test_a_job_goes_on_while_modules_are_read_again(job_site: JobSite, mark: Path) -> None:
    with job_site.running() as jobs:
        jid = jobs.publish("bad.hang", str(mark))
        jobs.wait_for_file(mark)
        jobs.value("saltutil.refresh_modules")
        complete = "/salt/minion/minion_mod_refresh_complete"
        jobs.wait(lambda event: event.tag == complete, complete)
        assert [job["jid"] for job in jobs.value("saltutil.running")] == [jid]
        jobs.value("saltutil.kill_job", jid)
        assert "SIGKILL" in jobs.returned(jid)["return"]


def test_a_module_that_hangs_or_dies_when_it_is_loaded_costs_the_jobs_that_want_it(job_site: JobSite) -> None:
    job_site.write_module("dies", "import os\nos._exit(5)\n")
    with job_site.running() as jobs:
        assert "exit code 5" in jobs.run("dies.f")["return"]
        assert jobs.value("test.ping") is True


def test_grains_are_looked_at_again_and_targets_with_them(job_site: JobSite) -> None:
    with job_site.running() as jobs:
        nursery = jobs.nursery_when_ready()
        early = jobs.publish("test.ping", tgt="role:web", tgt_type="grain")
        (job_site.folder / "grains").write_text("role: web\n")
        (job_site.folder / "grains").chmod(0o600)
        assert jobs.value("saltutil.refresh_grains") is True
        wait_gone(nursery)
        assert jobs.value("grains.get", "role") == "web"
        assert jobs.run("test.ping", tgt="role:web", tgt_type="grain")["return"] is True
        assert not [event for event in jobs.seen if event.tag == RETURN and event.data["jid"] == early]


def test_grains_that_cannot_be_read_keep_nobody_from_doing_jobs(job_site: JobSite) -> None:
    grains = job_site.folder / "grains"
    grains.write_text("role: [web\n")
    grains.chmod(0o600)
    with job_site.running() as jobs:
        assert jobs.value("test.ping") is True
        grains.write_text("role: web\n")
        nursery = jobs.nursery
        assert jobs.value("saltutil.refresh_grains") is True
        wait_gone(nursery)
        assert jobs.run("test.ping", tgt="role:web", tgt_type="grain")["return"] is True
