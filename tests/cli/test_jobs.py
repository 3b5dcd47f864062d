"""`sylvite jobs`, with minions that are played."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from sylvite.cli import main
from sylvite.jobs.store import open_jobs
from sylvite.jobs.values import Job, Return
from tests.cli.program import COMMAND, Done, Program
from tests.faults.other_user import needs_root, other_user
from tests.jobs.scripted import SILENT, WITHIN_S, Master, Minions, ping

GRAINS: dict[str, dict[str, Any]] = {
    "web1": {"os": "Debian", "ipv4": ["10.0.1.7"]},
    "web2": {"os": "Fedora", "ipv4": ["10.0.2.9"]},
}
NOBODY = "No minions matched the target. No command was sent, no jid was assigned.\n"
FAILED = "ERROR: Minions returned with non-zero exit code\n"
JID = "20261123224730771814"


def play(minion: str, publication: Mapping[str, Any]) -> Any:
    match publication["fun"]:
        case "test.silent":
            return SILENT if minion == "web2" else True
        case "saltutil.running":
            return [{"jid": JID, "fun": "test.sleep", "arg": [60], "tgt": "web*", "tgt_type": "glob", "user": "root",
                     "pid": 4711, "ret": ""}] if minion == "web1" else []  # fmt: skip
        case "saltutil.kill_job" | "saltutil.term_job":
            number = 9 if publication["fun"] == "saltutil.kill_job" else 15
            found = minion == "web1" and publication["arg"] == [JID]
            return f"Signal {number} sent to job {JID} at pid 4711" if found else ""
        case "test.lines":
            return {"return": "a\nb", "retcode": 0, "out": "txt", "success": True, "__whole__": True}
        case _:
            return ping(minion, publication)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("jobs") / "m", {**GRAINS, "old1": {}}, present=list(GRAINS)) as started:
        yield started


@pytest.fixture
def minions(master: Master) -> Iterator[Minions]:
    with Minions(master.broker.socket, GRAINS, play) as played:
        yield played


class Jobs:
    """`sylvite jobs … -c FILE`."""

    def __init__(self, master: Master, folder: Path) -> None:
        self.program = Program(master.broker.socket, folder)
        self.config = str(master.write_config())

    def __call__(self, command: str, *arguments: str) -> Done:
        return self.program("jobs", command, "-c", self.config, *arguments)


@pytest.fixture
def jobs(master: Master, tmp_path: Path) -> Jobs:
    return Jobs(master, tmp_path)


@pytest.mark.usefixtures("minions")
class TestRun:
    """What is printed, and the exit code: spec/salt-events.md 4.5."""

    def test_a_minion_answers(self, jobs: Jobs) -> None:
        assert jobs("run", "web1", "test.ping") == Done(0, "web1:\n    True\n", "")
        done = jobs("run", "web*", "test.ping", "--out", "json")
        assert done.code == 0
        assert sorted(done.out.split("}")) == ["\n", '\n{\n    "web2": true\n', '{\n    "web1": true\n'] or (
            '"web1": true' in done.out and '"web2": true' in done.out
        )
        assert sorted(jobs("run", "web*", "test.ping", "--json").lines) == ['{"web1": true}', '{"web2": true}']

    def test_a_function_that_does_not_succeed(self, jobs: Jobs) -> None:
        assert jobs("run", "web1", "test.fail") == Done(1, "web1:\n    it went wrong\n", FAILED)

    def test_nobody_is_meant(self, jobs: Jobs) -> None:
        assert jobs("run", "nobody", "test.ping") == Done(2, NOBODY, "ERROR: No return received\n")
        assert jobs("run", "--async", "nobody", "test.ping").code == 2
        done = jobs("run", "-L", "gone,away", "test.ping")
        assert done == Done(2, NOBODY, "no key is accepted for: gone, away\nERROR: No return received\n")

    def test_a_minion_does_not_answer(self, jobs: Jobs) -> None:
        done = jobs("run", "web*", "test.silent", "--out", "nested", "--show-jid")
        assert (done.code, done.err) == (1, FAILED)
        jid = done.lines[0].removeprefix("jid: ")
        assert done.lines[1:5] == ["web1:", "    True", "web2:", "    Minion did not return. [No response]"]
        assert done.lines[-1] == f"    sylvite jobs show {jid}"

    def test_a_minion_is_away(self, jobs: Jobs) -> None:
        done = jobs("run", "-L", "web1,old1", "test.ping")
        assert done == Done(1, "web1:\n    True\nold1:\n    Minion did not return. [Not connected]\n", FAILED)

    def test_nothing_is_waited_for(self, jobs: Jobs, minions: Minions) -> None:
        done = jobs("run", "--async", "web1", "test.arg", "a", "b=c")
        assert (done.code, done.err) == (0, "")
        told, jid = done.out.strip().split(": ")
        assert told == "Executed command with job ID"
        with Client.connect(jobs.program.environment["SYLVITE_SOCKET"]) as bus:
            bus.wait(f"salt/job/{jid}/ret/web1", since="oldest", timeout_s=WITHIN_S)
        assert minions.asked[0][1]["arg"] == ["a", {"b": "c", "__kwarg__": True}]
        assert json.loads(jobs("run", "--async", "web1", "test.ping", "--json").out)["minions"] == ["web1"]

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("-E", r"web\d"), ["web1", "web2"]),
            (("-G", "os:Debian"), ["web1"]),
            (("--grain", "--delimiter", "|", "os|Fedora"), ["web2"]),
            (("-P", "os:(Debian|Fedora)"), ["web1", "web2"]),
            (("-C", "web* and not G@os:Debian"), ["web2"]),
            (("-S", "10.0.2.0/24"), ["web2"]),
            (("--subset", "1", "-L", "web2"), ["web2"]),
            (("--batch", "50%", "web*"), ["web1", "web2"]),
        ],
    )
    def test_targets(self, jobs: Jobs, words: tuple[str, ...], expected: list[str]) -> None:
        done = jobs("run", *words, "test.ping", "--json")
        assert done.code == 0, done.err
        assert sorted(next(iter(json.loads(line))) for line in done.lines) == expected

    def test_options_reach_the_minions(self, jobs: Jobs, minions: Minions) -> None:
        done = jobs("run", "web1", "test.arg", "5", "{a: [1]}", "x=007", "--no-parse", "x", "--metadata", "{why: a test}",
                    "--start-event", "-v")  # fmt: skip
        assert done.code == 0
        ((_, publication),) = minions.asked
        assert publication["arg"] == [5, {"a": [1]}, {"x": "007", "__kwarg__": True}]
        assert (publication["metadata"], publication["start_event"]) == ({"why": "a test"}, True)
        assert done.lines[0] == f"Executing job with jid {publication['jid']}"

    def test_several_functions(self, jobs: Jobs, minions: Minions) -> None:
        assert jobs("run", "web1", "test.ping,test.arg", ",", "a", "1").code == 0
        assert minions.asked[0][1]["fun"] == ["test.ping", "test.arg"]
        assert minions.asked[0][1]["arg"] == [[], ["a", 1]]
        assert jobs("run", "web1", "test.ping,test.arg", ",", ",").code == 2

    def test_a_return_may_say_how_it_is_shown(self, jobs: Jobs) -> None:
        assert jobs("run", "web1", "test.lines").out == "web1: a\nweb1: b\n"
        assert jobs("run", "web1", "test.lines", "--out", "nested").out == "web1:\n    a\n    b\n"

    def test_a_batch_leaves_out_who_is_away(self, jobs: Jobs, minions: Minions) -> None:
        done = jobs("run", "--batch", "1", "*", "test.ping", "--json")
        assert done.code == 1
        assert "Minion old1 did not respond. No job will be sent." in done.err
        assert {minion for minion, _ in minions.asked} == {"web1", "web2"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("-E", "-G", "x", "test.ping"), "one type"),
            (("-E", "(", "test.ping"), "no regular expression"),
            (("-C", "web1 and", "test.ping"), "missing"),
            (("-N", "group", "test.ping"), "group"),
            (("--batch", "x", "web1", "test.ping"), "no size of a batch"),
            (("--batch", "1", "--async", "web1", "test.ping"), "--async"),
            (("--metadata", "5", "web1", "test.ping"), "--metadata"),
            (("web1", " "), "function"),
            (("--out", "nonsense", "web1", "test.ping"), "nonsense"),
        ],
    )
    def test_what_cannot_be(self, jobs: Jobs, minions: Minions, words: tuple[str, ...], said: str) -> None:
        done = jobs("run", *words)
        assert done.code == 2, done.err
        assert said in done.err
        assert "Traceback" not in done.err
        assert minions.asked == []


def test_ctrl_c_says_how_to_find_the_job(jobs: Jobs, master: Master) -> None:
    """And the job goes on."""
    with Client.connect(master.broker.socket) as bus, bus.subscribe("salt/job/") as events:
        words = [*COMMAND, "jobs", "run", "-c", jobs.config, "--timeout", "60", "web1", "test.sleep", "60"]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=jobs.program.environment
        )
        event = events.next(WITHIN_S)
        assert event is not None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, out) == (130, "")
    assert f"This job's jid is: {event.data['jid']}" in err
    assert f"`sylvite jobs show {event.data['jid']}`" in err


def test_without_a_bus(tmp_path: Path, master: Master) -> None:
    """No broker; no keys."""
    config = str(master.write_config())
    program = Program(tmp_path / "none.sock", tmp_path)
    done = program("jobs", "run", "-c", config, "*", "test.ping")
    assert done.code == 69
    assert "no broker" in done.err
    program = Program(master.broker.socket, tmp_path)
    done = program("jobs", "run", "--dir", str(tmp_path / "nothing"), "*", "test.ping")
    assert (done.code, done.out) == (78, "")
    assert "Traceback" not in done.err


@needs_root
def test_another_user_may_not_run_jobs(master: Master, tmp_path: Path) -> None:
    words = ["--socket", str(master.broker.socket), "--dir", str(master.broker.folder), "*", "test.ping"]

    def run(is_wanted: Callable[[], bool]) -> list[Any]:
        del is_wanted
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.main(["jobs", "run", *words])
        return [code, out.getvalue(), err.getvalue()]

    tmp_path.chmod(0o755)
    for name in ("cli.jobs", "cli.jobs_run", "daemons.options.reading", "jobs.local_client", "functions.arguments"):
        import_module(f"sylvite.{name}")  # Where this Python lies, the other user cannot read.
    import_module("resource")
    with other_user(run, tmp_path) as user:
        code, out, err = user.result()
    assert (code, out) == (77, ""), err
    assert "not allowed" in err or "permission" in err


# -- Jobs that are kept ----------------------------------------------------------------------------------------------


@pytest.fixture
def kept(master: Master) -> Iterator[None]:
    path = master.broker.folder / "jobs.db"
    with open_jobs(path) as store:
        for number in range(3):
            jid = f"2026112322473077181{4 + number}"
            fun = "test.ping" if number < 2 else "state.apply"
            store.add(Job(jid, fun, ("a",), "web*", "glob", "root", ("web1", "web2"), {"why": "a test"}), number)
            store.take([Return(jid, "web1", {"x": number}, number)], number)
    yield
    for file in path.parent.glob("jobs.db*"):
        file.unlink()


@pytest.mark.usefixtures("kept")
def test_jobs_are_listed(jobs: Jobs) -> None:
    done = jobs("list")
    assert done.lines[0].split() == ["JID", "AGE", "FUNCTION", "TARGET", "USER", "RETURNED"]
    assert [line.split()[0] for line in done.lines[1:]] == [f"2026112322473077181{n}" for n in (6, 5, 4)]
    assert done.lines[1].endswith("1 of 2")
    assert len(jobs("list", "--function", "test.*", "-n", "1").lines) == 2
    assert len(jobs("list", "--before", "20261123224730771815").lines) == 2
    shown = json.loads(jobs("list", "--json").out)
    assert shown[JID]["StartTime"] == "2026, Nov 23 22:47:30.771814"
    assert jobs("list", "--user", "bob").err == "no jobs\n"


@pytest.mark.usefixtures("kept")
def test_a_job_is_shown(jobs: Jobs) -> None:
    done = jobs("show", "20261123224730771815")
    assert (done.code, done.out) == (0, "web1:\n    ----------\n    x:\n        1\n")
    facts = dict(line.split(maxsplit=1) for line in done.err.splitlines() if line and not line.startswith("waiting"))
    assert (facts["function"], facts["returned"], facts["failed"]) == ("test.ping", "1 of 2", "web1")
    assert "waiting for  web2" in done.err
    shown = json.loads(jobs("show", JID, "--json").out)
    assert (shown["Minions"], shown["Result"]["web1"]["return"]) == (["web1", "web2"], {"x": 0})
    assert jobs("show", "20261123224730000000").code == 1
    assert jobs("show", "../../etc/passwd").code == 2


def test_without_kept_jobs(jobs: Jobs) -> None:
    for words in (("list",), ("show", JID)):
        done = jobs(*words)
        assert done.code == 74
        assert "no jobs are kept" in done.err


@pytest.mark.usefixtures("minions")
def test_jobs_are_kept_beside_a_broker(jobs: Jobs, master: Master) -> None:
    """Those that were published before, too; a second one is refused while it runs."""
    folder = master.broker.folder
    first = jobs("run", "--async", "web1", "test.ping").out.split()[-1]
    process = jobs.program.start("jobs", "keep", "--dir", str(folder))
    try:
        second = jobs("run", "--async", "web1", "test.arg", "a").out.split()[-1]
        deadline = time.monotonic() + WITHIN_S
        while (done := jobs("list", "--json")).code or {first, second} - json.loads(done.out).keys():
            assert time.monotonic() < deadline, done
        assert jobs.program("jobs", "keep", "--dir", str(folder)).code == 75
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=WITHIN_S)
        for file in folder.glob("jobs.db*"):
            file.unlink()
    assert process.returncode == 0, err


# -- Jobs that run ---------------------------------------------------------------------------------------------------


def test_what_runs(jobs: Jobs, minions: Minions) -> None:
    done = jobs("active")
    assert done.code == 0, done.err
    assert done.lines[1].split() == [JID, "test.sleep", "web*", "web1", "0"]
    shown = json.loads(jobs("active", "--json").out)
    assert shown[JID]["Running"] == [{"web1": 4711}]
    assert {minion for minion, _ in minions.asked} == {"web1", "web2"}, "one that is away is not asked"


@pytest.mark.usefixtures("minions")
def test_a_job_is_ended(jobs: Jobs) -> None:
    assert jobs("kill", JID) == Done(0, f"web1:\n    Signal 9 sent to job {JID} at pid 4711\n", "")
    assert "Signal 15" in jobs("kill", "--term", JID).out
    other = "20261123224730771899"
    assert jobs("kill", other) == Done(1, "", f"no minion runs {other}\n")
    assert jobs("kill", "nonsense").code == 2
