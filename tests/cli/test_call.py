"""`sylvite call` and `sylvite run`: the real program, beside the golden transcripts of `salt-call` and `salt-run`."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from sylvite.testing.broker import BrokerProcess
from tests.cli.program import Done, Program, read_line


@pytest.fixture
def run(sylvite_broker: BrokerProcess, tmp_path: Path) -> Program:
    return Program(sylvite_broker.socket, tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program with a broker on which there is whatever other tests have put."""
    folder = tmp_path_factory.mktemp("shared")
    with BrokerProcess(folder / "bus") as broker:
        yield Program(broker.socket, folder)


@pytest.fixture
def alone(tmp_path: Path) -> Program:
    """A program without a broker."""
    return Program(tmp_path / "none.sock", tmp_path)


def events(broker: BrokerProcess, *patterns: str) -> list[tuple[str, dict[str, Any]]]:
    with Client.connect(broker.socket) as client:
        found = client.subscribe(*(patterns or ("",)), since="oldest", until_end=True)
        return [(event.tag, event.data) for event in found if not event.tag.startswith("sylvite/")]


# -- call: what the transcripts show -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["event.fire", '{"data": "message to be sent in the event"}', "tag"], "local:\n    True\n"),
        (["event.fire", "notadict", "tag"], "local:\n    False\n"),
        (["event.fire", "{a: 1}", ""], "local:\n    False\n"),
        (["event.fire", "{a: 1, a: 2}", "x"], "local:\n    False\n"),
        (["event.send", "myco/mytag/success", '{success: True, message: "It works!"}'], "local:\n    True\n"),
        (["event.send", "myco/mytag", "foo=Foo", "bar=Bar", "n=5"], "local:\n    True\n"),
        (["event.send", "myco/preload", "{a: 1}", "preload={extra: 1}"], "local:\n    True\n"),
        (["event.send", "myco/grains", "with_grains=['id','os_family']"], "local:\n    True\n"),
        (["--out=json", "event.send", "myco/mytag", "{a: 1}"], '{\n    "local": true\n}\n'),
        (["test.ping"], "local:\n    True\n"),
    ],
)
def test_what_salt_call_prints(shared: Program, words: list[str], out: str) -> None:
    done = shared("call", *words)
    assert (done.code, done.out) == (0, out)


def test_what_was_fired_is_on_the_bus(run: Program, sylvite_broker: BrokerProcess) -> None:
    """The keys of the publication as `salt-call` has them, in that order, with a job id of this moment."""
    run("call", "event.send", "myco/mytag/success", '{success: True, message: "It works!"}')
    run("call", "event.fire", '{"data": "message to be sent in the event"}', "tag")
    (_, sent), (_, fired) = events(sylvite_broker)
    assert list(sent) == ["__pub_fun", "__pub_pid", "__pub_jid", "__pub_tgt", "success", "message", "_stamp"]
    assert (sent["__pub_fun"], sent["__pub_tgt"], sent["success"]) == ("event.send", "salt-call", True)
    assert re.fullmatch(r"20\d{18}", sent["__pub_jid"])
    assert list(fired) == ["data", "_stamp"]


def test_functions_need_no_broker(alone: Program) -> None:
    """Only those that fire something do; they say False, and stderr why."""
    assert alone("call", "test.echo", "x").out == "local:\n    x\n"
    done = alone("call", "event.send", "a", "b=1")
    assert (done.code, done.out) == (0, "local:\n    False\n")
    assert "no broker at" in done.err


# -- call: what goes wrong ------------------------------------------------------------------------------------------


def test_a_function_that_is_not_there(alone: Program) -> None:
    done = alone("call", "nosuch.fun")
    assert (done.code, done.out, done.err) == (255, "'nosuch.fun' is not available.\n", "")


def test_arguments_that_do_not_fit(alone: Program) -> None:
    """An empty line, what is wrong, an empty line, the usage."""
    done = alone("call", "event.send")
    head = "\nPassed invalid arguments: send() missing 1 required positional argument: 'tag'.\n\nUsage:\n"
    assert done.code == 1
    assert done.out.startswith(head)
    assert "CLI Example" in done.out.removeprefix(head)


def test_a_function_that_fails(alone: Program) -> None:
    """One line; the traceback is for those who ask for it."""
    done = alone("call", "test.exception", "oh no")
    assert (done.code, done.out, done.err) == (1, "", "Error running 'test.exception': oh no\n")
    assert "Traceback" in alone("call", "test.exception", "oh no", "--debug").err


def test_errors_as_json(alone: Program) -> None:
    for words, code, exit_code in (
        (["nosuch.fun"], "function_not_available", 255),
        (["event.send"], "invalid_arguments", 1),
        (["test.exception"], "function_failed", 1),
    ):
        done = alone("call", *words, "--json")
        assert (done.code, done.out) == (exit_code, "")
        assert json.loads(done.err)["error"]["code"] == code


def test_a_return_code_counts_only_if_asked_for(alone: Program) -> None:
    assert alone("call", "test.retcode", "7").code == 0
    assert alone("call", "test.retcode", "7", "--retcode-passthrough").code == 7
    assert alone("call", "test.ping", "--retcode-passthrough").code == 0


def test_a_call_of_nothing(alone: Program) -> None:
    done = alone("call")
    assert done.code == 2
    assert "Missing argument 'FUNCTION'" in done.err


# -- call: options --------------------------------------------------------------------------------------------------


def test_ways_to_show_it(alone: Program) -> None:
    shown = {name: alone("call", "test.echo", "[1, x]", "--out", name).out for name in ("yaml", "raw", "txt", "quiet")}
    assert shown == {
        "yaml": "local:\n- 1\n- x\n", "raw": "{'local': [1, 'x']}\n", "txt": "local: [1, 'x']\n", "quiet": "",
    }  # fmt: skip
    assert alone("call", "test.echo", "x", "--json").out == '{"local": "x"}\n'
    assert "\x1b[" in alone("call", "test.ping", "--color", "always").out


def test_a_module_of_ones_own(run: Program, sylvite_broker: BrokerProcess, tmp_path: Path) -> None:
    """Given on the command line, or in the configuration."""
    folder = tmp_path / "modules"
    folder.mkdir(mode=0o755)
    module = folder / "mine.py"
    module.write_text(
        "def hello(name):\n    __salt__['event.send']('myco/mine', {'to': name})\n    return __opts__.get('greeting')\n"
    )
    assert run("call", "-m", str(folder), "mine.hello", "you").out == "local:\n    None\n"
    config = tmp_path / "minion"
    config.write_text(f"file_client: local\nmodule_dirs: [{folder}]\ngreeting: hi\n")
    socket = run.environment["SYLVITE_SOCKET"]
    assert run("--socket", socket, "call", "-c", str(config), "mine.hello", "me").out == "local:\n    hi\n"
    assert [data["to"] for _, data in events(sylvite_broker, "myco/")] == ["you", "me"]
    module.chmod(0o666)
    done = run("call", "-m", str(folder), "mine.hello", "you")
    assert done.code == 255
    assert done.out == f"{module} is not safe: others may write to {module}; `chmod go-w` it\n"


def test_a_configuration_that_others_may_write_is_refused(alone: Program, tmp_path: Path) -> None:
    config = tmp_path / "minion"
    config.write_text("file_client: local\nenable_modules: [cmd]\n")
    config.chmod(0o666)
    done = alone("call", "-c", str(config), "cmd.run", "true")
    assert done.code == 78
    assert "others may write to" in done.err
    config.chmod(0o644)
    assert alone("call", "-c", str(config), "cmd.run", "echo hi").out == "local:\n    hi\n"


def test_names_and_grains(alone: Program) -> None:
    assert alone("call", "--id", "alpha", "grains.get", "id").out == "local:\n    alpha\n"
    shown = json.loads(alone("call", "-g", "--out", "json").out)["local"]
    assert shown["kernel"] == os.uname().sysname


def test_keywords_that_stay_text(alone: Program) -> None:
    out = alone("call", "test.arg_clean", "a=1", "b=1", "--no-parse", "b", "--json").out
    assert json.loads(out)["local"]["kwargs"] == {"a": 1, "b": "1"}


def test_docstrings(alone: Program) -> None:
    """As `salt-run -d` shows them: the name, an empty line, the text indented."""
    done = alone("call", "-d", "test.ping")
    lines = done.lines
    assert (lines[0], lines[1], lines[2]) == ("test.ping:", "", "    Say that functions run here.")
    assert "event.send:" in alone("call", "-d").lines
    assert list(json.loads(alone("call", "-d", "event", "--json").out)) == [
        "event.fire",
        "event.fire_master",
        "event.send",
    ]


# -- run ------------------------------------------------------------------------------------------------------------


def test_what_salt_run_prints(run: Program, sylvite_broker: BrokerProcess) -> None:
    """The transcripts cli_runner and cli_run_event_send_runner, and the events that were recorded with them."""
    assert run("run", "test.arg", "x", "y=1").out == "args:\n    - x\nkwargs:\n    ----------\n    y:\n        1\n"
    assert run("run", "event.send", "golden/runner/tag", "{a: 1}").out == "True\n"
    found = events(sylvite_broker)
    tags = [re.sub(r"\d{20}", "JID", tag) for tag, _ in found]
    assert tags == ["salt/run/JID/new", "salt/run/JID/ret", "salt/run/JID/new", "golden/runner/tag", "salt/run/JID/ret"]
    new, ret = found[0][1], found[1][1]
    assert list(new) == ["fun", "jid", "user", "fun_args", "_stamp"]
    assert list(ret) == ["fun", "jid", "user", "fun_args", "return", "success", "_stamp"]
    assert (new["fun"], new["fun_args"], ret["success"]) == ("runner.test.arg", ["x", {"y": 1}], True)
    assert found[0][0] == f"salt/run/{new['jid']}/new"
    jids = [data["jid"] for tag, data in found if tag.endswith("/new")]
    assert jids == sorted(set(jids))


def test_progress_is_shown_before_the_return(run: Program) -> None:
    assert run("run", "test.stream", "2").out == "Runner is 50% done\nRunner is 100% done\nTrue\n"
    assert run("run", "test.stream", "2", "-q").out == ""


def test_a_runner_that_fails(run: Program, sylvite_broker: BrokerProcess) -> None:
    done = run("run", "test.exception", "oh no")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Exception occurred in runner test.exception: Exception: oh no\n"
    assert events(sylvite_broker)[-1][1]["success"] is False


def test_a_runner_that_is_not_there(run: Program, sylvite_broker: BrokerProcess) -> None:
    done = run("run", "no.such")
    assert (done.code, done.out) == (255, "'no.such' is not available.\n")
    (tag, data), *rest = events(sylvite_broker)
    assert (data["retcode"], data["fun"], rest) == (254, "no.such", [])
    assert tag.endswith("/ret")


def test_without_a_broker_nothing_is_run(alone: Program) -> None:
    done = alone("run", "test.stdout_print")
    assert (done.code, done.out) == (69, "")


def test_a_runner_that_is_not_waited_for(run: Program, sylvite_broker: BrokerProcess) -> None:
    """The transcript cli_runner_async: nothing on stdout, on stderr the tag, and the events of the run."""
    done = run("run", "--async", "test.arg", "x")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("[WARNING ] Running in asynchronous mode.")
    tag = done.err.split()[-1]
    assert re.fullmatch(r"salt/run/\d{20}", tag)
    with Client.connect(sylvite_broker.socket) as client:
        data = client.wait(f"{tag}/ret", since="oldest", timeout_s=60).data
    assert (data["return"], data["success"]) == ({"args": ["x"], "kwargs": {}}, True)
    shown = json.loads(run("run", "--async", "test.arg", "--json").out)
    assert shown["tag"] == f"salt/run/{shown['jid']}"
    with Client.connect(sylvite_broker.socket) as client:
        client.wait(f"{shown['tag']}/ret", since="oldest", timeout_s=60)


def test_a_run_may_have_a_job_id_that_was_made_before(run: Program, sylvite_broker: BrokerProcess) -> None:
    """So that it can be waited for before it begins."""
    jid = "20261123224727940211"
    assert run("run", "--jid", jid, "test.arg").code == 0
    assert [tag for tag, _ in events(sylvite_broker)] == [f"salt/run/{jid}/new", f"salt/run/{jid}/ret"]
    done = run("run", "--jid", "nonsense", "test.arg")
    assert (done.code, done.out) == (2, "")
    assert "'nonsense' is no job id" in done.err


def test_without_a_broker_nothing_is_begun(alone: Program) -> None:
    done = alone("run", "--async", "test.arg")
    assert (done.code, done.out) == (69, "")
    assert "no broker at" in done.err


def test_a_run_that_is_terminated_is_told(run: Program, sylvite_broker: BrokerProcess) -> None:
    with run.start("run", "state.event", "golden/never") as watcher:
        until_subscribed(run)
        watcher.terminate()
        assert watcher.wait(60) == 130
    assert events(sylvite_broker)[-1][1]["return"] == "Exception occurred in runner state.event: KeyboardInterrupt"


def test_wheel_functions(tmp_path: Path, sylvite_broker: BrokerProcess) -> None:
    """Of the master that the configuration names; the transcript rest_run_wheel has the same return."""
    config = tmp_path / "master"
    config.write_text(f"sock_dir: {sylvite_broker.socket.parent}\ndata_dir: {tmp_path / 'data'}\n")
    run = Program(tmp_path / "none.sock", tmp_path)
    del run.environment["SYLVITE_SOCKET"]
    assert run("keys", "gen", "--dir", str(tmp_path / "data")).code == 0
    shown = json.loads(run("wheel", "-c", str(config), "key.list_all", "--json").out)
    lists: dict[str, list[str]] = {"minions_pre": [], "minions_rejected": [], "minions": [], "minions_denied": []}
    assert shown == {**lists, "local": ["master.key", "master.pub"]}
    (first, new), (second, ret) = events(sylvite_broker)
    assert re.sub(r"\d{20}", "JID", f"{first} {second}") == "salt/wheel/JID/new salt/wheel/JID/ret"
    assert (new["fun"], ret["return"], ret["success"]) == ("wheel.key.list_all", shown, True)
    done = run("wheel", "-c", str(config), "key.list", "foo")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Exception occurred in wheel key.list: UnknownList: 'foo' is no state of keys")
    assert run("wheel", "-c", str(config), "no.such").code == 255
    assert run("wheel", "-d", "key.accept").lines[0] == "key.accept:"


def until_subscribed(run: Program) -> None:
    for _ in range(100):
        if json.loads(run("status", "--json").out)["subscriptions"]:
            return
    raise AssertionError("nobody has subscribed")


@pytest.mark.parametrize("face", ["call", "run"])
def test_watching_from_a_shell(run: Program, face: str) -> None:
    """The transcript cli_state_event_plain_count2: two lines, and None at the end."""
    with run.start(face, "state.event", "golden/*", "count=2") as watcher:
        until_subscribed(run)
        run("publish", "other/tag", "n=0")
        run("call", "event.fire", '{"data": "message to be sent in the event", "n": 1}', "golden/cli")
        tag, data = read_line(watcher.stdout).rstrip("\n").split("\t")
        assert tag == "golden/cli"
        assert re.fullmatch(r'\{"data": "message to be sent in the event", "n": 1, "_stamp": "[^"]+\+00:00"\}', data)
        run("call", "event.fire", '{"z": 1, "a": {"\u00e9": [1, 2.5, null, true]}}', "golden/cli2")
        out, err = watcher.communicate(timeout=60)
    line, *end = out.decode().splitlines()
    assert line.startswith('golden/cli2\t{"z": 1, "a": {"é": [1, 2.5, null, true]}, "_stamp": "')
    assert end == (["None"] if face == "run" else ["local:", "    None"])
    assert (watcher.returncode, err) == (0, b"")


def test_watching_goes_on_over_a_restart_of_the_broker(run: Program, sylvite_broker: BrokerProcess) -> None:
    with run.start("run", "state.event", "golden/*", "count=1") as watcher:
        until_subscribed(run)
        sylvite_broker.stop()
        sylvite_broker.start()
        run("publish", "golden/later", "n=1")
        assert read_line(watcher.stdout).startswith("golden/later\t")
        watcher.communicate(timeout=60)
    assert watcher.returncode == 0


def test_ctrl_c_ends_watching_and_the_bus_hears_of_it(run: Program, sylvite_broker: BrokerProcess) -> None:
    with run.start("run", "state.event", "golden/never") as watcher:
        until_subscribed(run)
        watcher.send_signal(signal.SIGINT)
        out, err = watcher.communicate(timeout=60)
    assert (watcher.returncode, out, err) == (130, b"", b"")
    assert events(sylvite_broker)[-1][1]["return"] == "Exception occurred in runner state.event: KeyboardInterrupt"


def test_docstrings_of_runners(alone: Program) -> None:
    done: Done = alone("run", "-d", "event.send")
    assert done.lines[0] == "event.send:"
    assert done.code == 0


# -- A machine with a minion ------------------------------------------------------------------------------------------


@pytest.fixture
def of_minion(sylvite_broker: BrokerProcess, tmp_path: Path) -> Program:
    """A program with a folder of configuration, in which the minion has the bus of a broker."""
    folder = tmp_path / "conf"
    folder.mkdir(mode=0o755)
    (folder / "minion").write_text(f"id: alpha\nsock_dir: {sylvite_broker.socket.parent}\ngrains: {{roles: [web]}}\n")
    program = Program(tmp_path / "none.sock", tmp_path)
    del program.environment["SYLVITE_SOCKET"]
    program.environment["SYLVITE_CONFIG_DIR"] = str(folder)
    return program


def test_what_a_call_sends_goes_up_with_its_return(of_minion: Program, sylvite_broker: BrokerProcess) -> None:
    """On the bus of the minion, as the link takes it: the transcript cli_event_send_preload, and its events."""
    done = of_minion("call", "event.send", "myco/preload", "{a: 1}", "preload={extra: 1}")
    assert (done.code, done.out, done.err) == (0, "local:\n    True\n", "")
    (first, sent), (second, returned) = events(sylvite_broker)
    assert (first, second) == ("fire_master", "__schedule_return")
    assert list(sent) == ["tag", "data", "extra", "_stamp"]
    assert (sent["tag"], sent["data"]["a"], sent["data"]["__pub_tgt"]) == ("myco/preload", 1, "salt-call")
    words = ["myco/preload", "{a: 1}", "preload={extra: 1}"]
    assert {name: value for name, value in returned.items() if name != "_stamp"} == {
        "cmd": "_return", "id": "alpha", "jid": "req", "fun": "event.send", "fun_args": words, "return": True, "retcode": 0,
        "arg": words, "tgt": "alpha", "tgt_type": "glob",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        (["--local", "event.send", "myco/a"], ["myco/a"]),
        (["--no-return-event", "event.send", "myco/a"], ["fire_master"]),
        (["event.fire", "{a: 1}", "myco/a"], ["myco/a", "__schedule_return"]),
        (["event.fire_master", "text", "myco/a"], ["fire_master", "__schedule_return"]),
        (["--local", "event.fire_master", "text", "myco/a"], []),
        (["nosuch.fun"], []),
        (["test.exception"], []),
    ],
)
def test_what_goes_up_and_what_does_not(
    of_minion: Program, sylvite_broker: BrokerProcess, words: list[str], tags: list[str]
) -> None:
    of_minion("call", *words)
    assert [tag for tag, _ in events(sylvite_broker)] == tags


def test_functions_have_the_options_of_the_minion(of_minion: Program, tmp_path: Path) -> None:
    assert of_minion("call", "--local", "grains.item", "id", "roles", "--json").out == (
        '{"local": {"id": "alpha", "roles": ["web"]}}\n'
    )
    assert of_minion("call", "--local", "config.get", "__role").out == "local:\n    minion\n"
    other = tmp_path / "other"
    other.write_text("id: beta\nfile_client: local\n")
    assert of_minion("call", "-c", str(other), "config.get", "id").out == "local:\n    beta\n"
    (tmp_path / "conf" / "minion").write_text("id: a/b\n")
    done = of_minion("call", "--local", "test.ping")
    assert (done.code, done.out) == (78, "")
    assert "minion:1: id" in done.err


def test_a_minion_that_does_not_run(of_minion: Program, sylvite_broker: BrokerProcess) -> None:
    """The function runs; what needs the bus says what is wrong."""
    sylvite_broker.stop()
    done = of_minion("call", "test.ping")
    assert (done.code, done.out) == (0, "local:\n    True\n")
    assert re.fullmatch(r"sylvite: the master was not told what it returned: no broker at .*\n", done.err)
    done = of_minion("call", "--no-return-event", "event.send", "myco/a")
    assert (done.code, done.out) == (0, "local:\n    False\n")
    assert "no broker at" in done.err
    assert of_minion("call", "--local", "test.ping").err == ""


def test_a_return_that_cannot_travel(of_minion: Program, sylvite_broker: BrokerProcess) -> None:
    assert of_minion("call", "test.outputter", "x" * 1000, "--out", "quiet").code == 0
    assert of_minion("call", "cmd.run", "true").code == 255
    with (Path(of_minion.folder) / "conf" / "minion").open("a") as file:
        file.write("enable_modules: [cmd]\n")
    assert of_minion("call", "cmd.run", "head -c 2000000 /dev/zero | tr '\\0' x", "python_shell=True").code == 0
    assert events(sylvite_broker)[-1][1]["return"] == "VALUE_TRIMMED"


def test_a_runner_has_the_options_of_the_master(sylvite_broker: BrokerProcess, tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir(mode=0o755)
    (folder / "master").write_text(f"id: mars\nsock_dir: {sylvite_broker.socket.parent}\nmine: 7\n")
    run = Program(tmp_path / "none.sock", tmp_path)
    del run.environment["SYLVITE_SOCKET"]
    done = run("run", "-c", str(folder), "test.get_opts", "--json")
    opts = json.loads(done.out)
    assert (opts["id"], opts["__role"], opts["mine"], opts["config_dir"]) == ("mars", "master", 7, str(folder))
    assert [tag.rpartition("/")[2] for tag, _ in events(sylvite_broker)] == ["new", "ret"]
