"""Functions of a real master and a real minion: runners that ask minions, and calls that go up."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client, RunnerClient, WheelClient, master_opts
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.auth.keys import make_pair
from sylvite.functions import master
from sylvite.functions.errors import FunctionFailed
from sylvite.version import __version__
from tests.cli.program import Program
from tests.daemons.nodes import Site
from tests.functions.test_orchestration import COMMAND

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A master; `alpha`, which is connected; and `gone`, which was let in and never came back."""
    site = Site(tmp_path_factory.mktemp("site"))
    with site.master():
        with KeyFolder(site.data / "keys") as folder:
            finger = load_public(folder, "master").fingerprint
        site.configure_minion(master_finger=f'"{finger}"', acceptance_wait_time="1")
        with site.minion():
            with KeyFolder(site.folder / "n" / "pki") as folder:
                public = load_public(folder, "minion")
            with WheelClient(master_opts(site.master_file)) as wheel, Keyring.open(site.data / "keys") as keyring:
                keyring.expect("alpha", public.fingerprint, time.time_ns())
                keyring.ask("gone", make_pair().public, "192.0.2.1", time.time_ns())
                assert wheel.cmd("key.accept", ["gone"]) == {"minions": ["gone"]}
            with Client.connect(site.bus) as bus:
                bus.wait("salt/minion/alpha/start", since="oldest", timeout_s=WITHIN_S)
            yield site


@pytest.fixture
def runners(site: Site) -> Iterator[RunnerClient]:
    with RunnerClient(master_opts(site.master_file)) as runners:
        yield runners


@pytest.fixture
def program(site: Site, tmp_path: Path) -> Program:
    program = Program(tmp_path / "none.sock", tmp_path)
    del program.environment["SYLVITE_SOCKET"]
    return program


def events(site: Site, *patterns: str) -> list[tuple[str, dict[str, Any]]]:
    with Client.connect(site.bus) as client:
        return [(event.tag, event.data) for event in client.subscribe(*patterns, since="oldest", until_end=True)]


def wait_for(site: Site, tag: str) -> dict[str, Any]:
    with Client.connect(site.bus) as client:
        return client.wait(tag, since="oldest", timeout_s=WITHIN_S).data


# -- manage, salt -----------------------------------------------------------------------------------------------------


def test_who_answers(runners: RunnerClient) -> None:
    soon = {"timeout": 1, "gather_job_timeout": 1}
    assert runners.cmd("manage.up", kwarg=soon) == ["alpha"]
    assert runners.cmd("manage.status", kwarg=soon) == {"up": ["alpha"], "down": ["gone"]}
    assert runners.cmd("manage.down", kwarg={"tgt": "nobody"}) == []
    assert runners.cmd("manage.down", kwarg={"tgt": "g*", **soon}) == ["gone"]
    assert runners.cmd("manage.versions", kwarg=soon) == {
        "Master": __version__, "Up to date": {"alpha": __version__}, "Minion offline": {"gone": False},
    }  # fmt: skip


def test_who_is_connected(runners: RunnerClient, site: Site) -> None:
    assert runners.cmd("manage.present") == ["alpha"]
    assert runners.cmd("manage.present", kwarg={"show_ip": True}) == {"alpha": "127.0.0.1"}
    assert runners.cmd("manage.present", kwarg={"subset": ["beta"]}) == []
    assert runners.cmd("manage.not_present") == ["gone"]
    assert runners.cmd("manage.not_present", kwarg={"subset": ["alpha"]}) == []
    assert runners.cmd("manage.alived") == runners.cmd("manage.list_state") == ["alpha"]
    assert runners.cmd("manage.not_alived") == runners.cmd("manage.list_not_state") == ["gone"]
    with WheelClient(master_opts(site.master_file)) as wheel:
        assert wheel.cmd("minions.connected") == ["alpha"]


def test_functions_on_minions_from_a_runner(runners: RunnerClient, site: Site) -> None:
    found = runners.cmd("salt.execute", ["alpha", "test.arg"], kwarg={"arg": [1, "two"], "name": "value"})["alpha"]
    assert found["args"] == [1, "two"]
    assert found["kwargs"]["name"] == "value"
    assert runners.cmd("salt.execute", ["nobody", "test.ping"]) == {}
    assert runners.cmd("salt.cmd", ["test.arg", "1"], kwarg={"a": 2}) == {"args": (1,), "kwargs": {"a": 2}}
    with pytest.raises(FunctionFailed, match=r"'no\.such' is not available"):
        runners.cmd("salt.cmd", ["no.such"])


# -- jobs -------------------------------------------------------------------------------------------------------------


def kept_job(runners: RunnerClient, site: Site, fun: str, arg: list[Any], **options: Any) -> str:
    """Run a job on alpha, and wait until the store has its return; return its jid."""
    with master.local_client(runners.opts, runners.bus) as client:
        published = client.pub("alpha", fun, arg, **options)
        jid = str(published["jid"])
    wait_for(site, f"salt/job/{jid}/ret/alpha")
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        with master.jobs(runners.opts) as reader:
            if reader.returned(jid) == ["alpha"]:
                return jid
    raise AssertionError(f"the return of {jid} was not kept")


def test_jobs_are_looked_up(runners: RunnerClient, site: Site) -> None:
    jid = kept_job(runners, site, "test.arg", ["x"], metadata={"ticket": 7})
    failed = kept_job(runners, site, "test.retcode", [3])
    shown = runners.cmd("jobs.list_job", [jid])
    assert (shown["jid"], shown["Function"], shown["Arguments"], shown["Minions"]) == (
        jid,
        "test.arg",
        ["x"],
        ["alpha"],
    )
    assert (shown["Target"], shown["Target-type"]) == ("alpha", "glob")
    assert shown["Result"]["alpha"]["retcode"] == 0
    assert shown["Result"]["alpha"]["return"]["args"] == ["x"]
    assert runners.cmd("jobs.print_job", [jid]) == {jid: shown}
    assert runners.cmd("jobs.lookup_jid", [jid])["alpha"]["args"] == ["x"]
    assert runners.cmd("jobs.exit_success", [jid]) == {"alpha": True}
    assert runners.cmd("jobs.exit_success", [failed]) == {"alpha": False}
    listed = runners.cmd("jobs.list_jobs")
    assert {jid, failed} <= set(listed)
    assert list(listed) == sorted(listed)
    of_salt = {"Function", "Arguments", "Target", "Target-type", "User", "StartTime", "Metadata"}
    assert set(listed[jid]) == {*of_salt, "Ended"}
    assert runners.cmd("jobs.list_jobs", kwarg={"search_metadata": {"ticket": 7}}).keys() == {jid}
    assert failed in runners.cmd("jobs.list_jobs", kwarg={"search_function": "test.r*", "search_target": "al*"})
    assert runners.cmd("jobs.list_jobs", kwarg={"search_function": "nothing.*"}) == {}
    assert runners.cmd("jobs.list_jobs", kwarg={"end_time": "2020-01-01"}) == {}
    assert jid in runners.cmd("jobs.list_jobs", kwarg={"start_time": "1h"})
    assert list(runners.cmd("jobs.list_jobs", kwarg={"start_time": failed, "search_function": "test.retcode"})) == [
        failed
    ]
    assert len(runners.cmd("jobs.list_jobs_filter", [1])) == 1
    assert runners.cmd("jobs.last_run", kwarg={"function": "test.arg"}).keys() == {jid}
    assert runners.cmd("jobs.last_run", kwarg={"function": "nothing.*"}) is False
    unknown = runners.cmd("jobs.list_job", ["20200101000000000000"])
    assert (unknown["Function"], "Error" in unknown) == ("unknown-function", True)
    assert runners.cmd("jobs.lookup_jid", ["20200101000000000000"]) == {}


def test_what_runs_is_shown_with_the_process_that_does_it(runners: RunnerClient, site: Site) -> None:
    with master.local_client(runners.opts, runners.bus) as client:
        jid = client.pub("alpha", "test.sleep", [600], start_event=True)["jid"]
        wait_for(site, f"salt/job/{jid}/start/alpha")
        found = runners.cmd("jobs.active")
        assert found.keys() == {jid}
        assert (found[jid]["Function"], found[jid]["Arguments"], found[jid]["Returned"]) == ("test.sleep", [600], [])
        ((minion, process),) = found[jid]["Running"][0].items()
        assert minion == "alpha"
        assert Path(f"/proc/{process}").exists()
        assert runners.cmd("jobs.lookup_jid", [jid], kwarg={"missing": True}) == {"alpha": "Minion did not return"}
        client.cmd("alpha", "saltutil.kill_job", [jid])
    wait_for(site, f"salt/job/{jid}/ret/alpha")
    assert runners.cmd("jobs.active", kwarg={"display_progress": True}) == {}


# -- call -------------------------------------------------------------------------------------------------------------


def test_what_a_call_sends_is_at_the_master_as_salt_has_it(site: Site, program: Program) -> None:
    """The event and the return of the transcript cli_event_send: the envelope has no `pretag`, the return a new job id."""
    words = ["event.send", "myco/mytag/success", '{success: True, message: "It works!"}']
    done = program("call", "-c", str(site.minion_file), *words)
    assert (done.code, done.out, done.err) == (0, "local:\n    True\n", "")
    sent = wait_for(site, "myco/mytag/success")
    assert set(sent) == {"cmd", "data", "id", "tag", "ts", "_stamp"}
    assert (sent["cmd"], sent["id"], sent["tag"]) == ("_minion_event", "alpha", "myco/mytag/success")
    assert set(sent["data"]) == {"__pub_fun", "__pub_jid", "__pub_pid", "__pub_tgt", "message", "success"}
    with Client.connect(site.bus) as bus:
        event = bus.wait(
            "salt/job/*/ret/alpha", where="data.fun == 'event.send'", since="oldest", timeout_s=WITHIN_S
        )  # fmt: skip
    tag, returned = event.tag, event.data
    assert set(returned) == {
        "arg", "cmd", "fun", "fun_args", "id", "jid", "retcode", "return", "tgt", "tgt_type", "ts", "_stamp"
    }  # fmt: skip
    assert tag == f"salt/job/{returned['jid']}/ret/alpha"
    assert re.fullmatch(r"20\d{18}", returned["jid"])
    assert (returned["fun_args"], returned["arg"], returned["return"]) == (words[1:], words[1:], True)


def test_a_runner_that_asks_minions_from_a_shell(site: Site, program: Program) -> None:
    done = program("run", "-c", str(site.master_file), "manage.status", "tgt=a*", "--json")
    assert json.loads(done.out) == {"up": ["alpha"], "down": []}
    done = program("run", "-c", str(site.master_file), "jobs.list_jobs", "start_time=nonsense")
    assert (done.code, done.out) == (1, "")
    assert "Exception occurred in runner jobs.list_jobs" in done.err


@pytest.mark.parametrize(("code", "sent"), [(0, "my_event/success"), (1, "my_event/failure")])
def test_the_orchestration_of_the_documentation(
    site: Site, program: Program, tmp_path: Path, code: int, sent: str
) -> None:
    """A command on a minion, and an event that says what came of it; each step is told with what it was asked for."""
    root = tmp_path / "srv" / "orch"
    root.mkdir(mode=0o755, parents=True)
    (root / "command.sls").write_text(
        COMMAND.replace("my_minion", "alpha").replace("cmd.run", "test.retcode").replace("exit ", "")
    )
    config = tmp_path / "master"
    config.write_text(site.master_file.read_text() + f"file_roots: {{base: [{root.parent}]}}\n")
    before = {data["jid"] for _, data in events(site, "salt/run/*/new")}
    done = program(
        "run", "-c", str(config), "state.orchestrate", "orch.command", f"pillar={{exit_code: {code}}}", "--json"
    )
    assert (done.code, done.err) == (code, "")
    steps = {step["__id__"]: step for step in json.loads(done.out)["master"].values()}
    assert steps["run_a_command"]["result"] is (code == 0)
    assert steps["run_a_command"]["changes"] == {"ret": {"alpha": True}}
    assert wait_for(site, sent)
    (run,) = [
        data["jid"]
        for _, data in events(site, "salt/run/*/new")
        if data["fun"] == "runner.state.orchestrate" and data["jid"] not in before
    ]
    told = [data for _, data in events(site, f"salt/run/{run}/args")]
    assert told[0].items() >= {
        "type": "function", "name": "run_a_command", "tgt": "alpha", "args": {"tgt_type": "glob", "arg": [code]},
    }.items()  # fmt: skip
    assert (told[1]["type"], told[1]["args"]["tag"]) == ("runner", sent)


def test_keys_of_those_that_do_not_answer_are_deleted_if_that_is_wanted(runners: RunnerClient, site: Site) -> None:
    """The last of these tests: nobody is gone after it."""
    kwarg = {"removekeys": True, "timeout": 1, "gather_job_timeout": 1}
    assert runners.cmd("manage.down", kwarg=kwarg) == ["gone"]
    assert runners.cmd("manage.not_present") == []
    assert events(site, "salt/key")[-1][1]["act"] == "delete"
