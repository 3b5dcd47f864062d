"""Salt's programs: the recordings of real Salt's command lines, played by ours on a master and minion of ours."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sylvite.client.sync_client import Client
from sylvite.compat.cloud_lines import translate_cloud
from sylvite.compat.command_lines import UsageError, translate
from tests.compat.event_page import LANGUAGES, PAGE
from tests.compat.nodes import MINION, Nodes
from tests.compat.places import GOLDEN, WITHIN_S, shim_environment, subscriptions, wait_until
from tests.daemons.nodes import Site
from tests.docs.blocks import PROJECT, blocks

JID = re.compile(r"\d{20}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


class Recording(NamedTuple):
    """`fired`: meanwhile.  `err`: without the warnings of Salt's own."""

    words: list[str]
    fired: list[tuple[str, dict[str, Any]]]
    out: str
    err: str
    code: int


def recording(name: str) -> Recording:
    lines = (GOLDEN / f"{name}.txt").read_text().splitlines(keepends=True)
    words = shlex.split(lines.pop(0).removeprefix("# $ "))
    fired: list[tuple[str, dict[str, Any]]] = []
    while lines[0].startswith("# # then fired: "):
        tag, _, data = lines.pop(0).removeprefix("# # then fired: ").partition(" ")
        fired.append((tag, json.loads(data)))
    code = int(lines.pop().removeprefix("--- exit "))
    noise = ("[WARNING ] unclosed", "unclosed ")
    kept = "".join(line for line in lines if not line.startswith(noise))
    out, _, err = kept.partition("--- stderr\n")
    return Recording(words, fired, out, err, code)


CAME_FIRST: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "cli_state_event_pretty_count1": [("salt/presence/present", {"present": [MINION]})],
}
"""Where an event of the master's own came before the one that was fired."""


def alike(text: str) -> str:
    return STAMP.sub("STAMP", JID.sub("JID", text))


def start(words: Sequence[str], environment: dict[str, str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    name, *typed = words
    source = f"import sys; from salt.scripts import {name.replace('-', '_')} as main; sys.argv[0] = {name!r}; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", source, *typed], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        stdin=stdin,
    )  # fmt: skip


def run(words: Sequence[str], environment: dict[str, str], typed: str | None = None) -> tuple[str, str, int]:
    program = start(words, environment, stdin=subprocess.PIPE if typed is not None else subprocess.DEVNULL)
    out, err = program.communicate(typed, timeout=WITHIN_S)
    return out, err, program.returncode


AT_ONCE = (
    "cli_event_fire", "cli_event_fire_bad_data", "cli_event_fire_master", "cli_event_send", "cli_event_send_json_out", "cli_event_send_kwargs",
    "cli_event_send_preload", "cli_event_send_with_grains", "cli_run_event_send_runner", "cli_runner", "cli_runner_async",
    "cli_runner_raises", "cli_test_ping", "cli_test_arg_async", "cli_salt_minion_event_fire", "cli_salt_minion_event_send",
    "cli_bad_function",
)  # fmt: skip


@pytest.mark.parametrize("name", AT_ONCE)
def test_recordings(nodes: Nodes, name: str) -> None:
    expected = recording(name)
    out, err, code = run(expected.words, nodes.environment)
    assert alike(out) == alike(expected.out)
    assert alike(err) == alike(expected.err)
    assert code == expected.code


@pytest.mark.parametrize(
    "name",
    [
        "cli_state_event_plain_count2",
        "cli_state_event_pretty_count1",
        "cli_state_event_quiet_count1",
        "cli_state_event_regex",
        "cli_state_event_tagmatch_pretty_count1",
    ],
)
def test_recordings_of_watching(nodes: Nodes, name: str) -> None:
    expected = recording(name)
    fired = CAME_FIRST.get(name, expected.fired)
    with Client.connect(nodes.site.bus) as bus:
        before = subscriptions(bus)
        program = start(expected.words, nodes.environment)
        wait_until(lambda: bool(subscriptions(bus) - before) or program.poll() is not None, "it listens")
        fire = "import salt.utils.event, sys, json\nwith salt.utils.event.MasterEvent(sys.argv[1]) as event:\n    for tag, data in json.loads(sys.argv[2]):\n        event.fire_event(data, tag)\n"
        subprocess.run(
            [sys.executable, "-c", fire, str(nodes.site.bus.parent), json.dumps(fired)], env=nodes.environment, check=True, timeout=WITHIN_S
        )  # fmt: skip
        out, err = program.communicate(timeout=WITHIN_S)
    assert alike(out) == alike(expected.out)
    assert (err, program.returncode) == ("", expected.code)


@pytest.mark.parametrize("name", ["cli_state_event_sigint", "cli_minion_state_event_local"])
def test_recordings_of_watching_that_is_interrupted(nodes: Nodes, name: str) -> None:
    """Ctrl-C: what is said, and the exit code.  Salt goes on with a traceback, where it is the runner."""
    expected = recording(name)
    with Client.connect(nodes.bus("master" if expected.words[0] == "salt-run" else "minion")) as bus:
        before = subscriptions(bus)
        watching = start(expected.words, nodes.environment)
        wait_until(lambda: bool(subscriptions(bus) - before) or watching.poll() is not None, "it listens")
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=WITHIN_S)
    assert expected.out.startswith(err)
    assert (out, err, watching.returncode) == ("", "\nExiting gracefully on Ctrl-c\n", expected.code)


def test_the_recording_of_what_a_function_says_of_itself(nodes: Nodes) -> None:
    """In the form of Salt's; the words are ours, but for the first ones."""
    expected = recording("cli_run_event_help")
    out, err, code = run(expected.words, nodes.environment)
    assert (err, code) == ("", expected.code)
    shown, recorded = out.splitlines(), expected.out.splitlines()
    assert shown[:2] == recorded[:2] == ["event.send:", ""]
    assert shown[2].startswith(recorded[2].rstrip("."))
    assert all(line.startswith("    ") or not line for line in shown[2:])
    assert "    CLI Example:" in shown
    assert "    CLI Example:" in recorded


@pytest.mark.parametrize("name", ["cli_state_apply", "cli_state_apply_fail"])
def test_what_the_recordings_of_states_are_answered_with(nodes: Nodes, name: str) -> None:
    """There are none here: the answer is Salt's for a function that there is not, and says what there is instead."""
    expected, missing = recording(name), recording("cli_bad_function")
    out, err, code = run(expected.words, nodes.environment)
    assert out.startswith(missing.out.replace("no.such_function", expected.words[2]).rstrip("\n"))
    assert "There are no states here" in out
    assert (err, code) == (missing.err, missing.code)


def test_every_recording_of_a_command_line_is_played() -> None:
    played = (Path(__file__).parent / "test_programs.py").read_text()
    assert [path.stem for path in GOLDEN.glob("cli_*.txt") if f'"{path.stem}"' not in played] == []


def test_the_lines_of_our_page_are_those_of_salt_s() -> None:
    """Which test_event_page.py runs."""
    (block,) = (block for block in blocks(PROJECT / "docs" / "salt.md") if block.kind == "salt-programs")
    shown = block.text.splitlines(keepends=True)
    assert shown == [text for place, text in PAGE.items() if LANGUAGES[place] == "bash" and text.startswith("salt")]


@pytest.mark.parametrize(
    ("words", "out", "err", "code"),
    [
        (("salt-run", "no.such"), "'no.such' is not available.\n", "", 0),
        (("salt-call", "no.such"), "'no.such' is not available.\n", "", 255),
        (("salt-run", "--nonsense"), "", "salt-run: error: no such option: --nonsense\n", 64),
        (("salt-key", "-l", "nonsense"), "", "salt-key: error: 'nonsense' is not a valid argument to '--list'\n", 64),
        (("salt-run", "--version"), "salt-run 3008.3 (Sylvite ", "", 0),
        (("salt-call", "--out=nosuch", "test.ping"), "local:\n    True\n", "[ERROR   ] Invalid outputter nosuch specified, fall back to nested\n", 0),
        (("salt", "nobody", "test.ping"), "No minions matched the target. No command was sent, no jid was assigned.\n", "ERROR: No return received\n", 2),
    ],
)  # fmt: skip
def test_what_else_is_said(nodes: Nodes, words: tuple[str, ...], out: str, err: str, code: int) -> None:
    said = run(words, nodes.environment)
    assert said[0].startswith(out)
    assert said[1].endswith(err)
    assert said[2] == code


def test_what_command_lines_mean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SALT_CONFIG_DIR", "SALT_MASTER_CONFIG", "SALT_MINION_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    line = ["-c", str(tmp_path), "web*", "test.arg", "--out=json", "a", "-t5", "b=-c", "--no-color", "--", "--local"]
    assert translate("salt", line).words == [
        "--color=never", "jobs", "run", "--out", "json", "--timeout", "5", "--config", str(tmp_path / "master"), "--", "web*", "test.arg",
        "a", "b=-c", "--local",
    ]  # fmt: skip
    assert translate("salt-call", ["-g"]).words == ["call", "--grains", "--"]
    for wrong in (["--out"], ["--local=yes"], ["-x"]):
        with pytest.raises(UsageError):
            translate("salt-call", wrong)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("-p small web1 web2", "cloud create -- small web1 web2"),
        ("--profile=small -P web1 -c /etc/mine", "cloud create --config-dir /etc/mine -- small web1"),
        ("-d web1 -y", "cloud destroy --yes -- web1"),
        ("-a stop web1", "cloud action -- stop web1"),
        ("-Q --out=json", "--json cloud list --"),
        ("--list-providers", "cloud providers --"),
        ("--list-profiles all", "cloud profiles --"),
    ],
)
def test_what_command_lines_of_the_cloud_mean(monkeypatch: pytest.MonkeyPatch, typed: str, words: str) -> None:
    monkeypatch.delenv("SALT_CONFIG_DIR", raising=False)
    assert translate_cloud(typed.split()).words == words.split()


@pytest.mark.parametrize("typed", [["web1"], ["-Q", "-d"], ["-m", "map"], ["--no-deploy"]])
def test_what_the_cloud_has_not(typed: list[str]) -> None:
    with pytest.raises(UsageError):
        translate_cloud(typed)


def test_providers_of_the_cloud(tmp_path: Path) -> None:
    (tmp_path / "cloud.providers").write_text("mine: {driver: dummy}\n")
    said = run(["salt-cloud", "-c", str(tmp_path), "--list-providers"], shim_environment())
    assert "mine" in said[0] + said[1]


# -- salt-key --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pending(tmp_path: Path) -> Iterator[Nodes]:
    """A master, and a minion that waits to be let in."""
    site = Site(tmp_path, MINION)
    site.configure_minion(acceptance_wait_time="1")
    environment = {**shim_environment(), "SALT_MASTER_CONFIG": str(site.master_file)}
    with site.master(), site.minion("--trust-first-master"), Client.connect(site.bus) as bus:
        bus.wait("salt/auth", where="data.act == 'pend'", since="oldest", timeout_s=WITHIN_S)
        yield Nodes(site, environment, 0)


def played(nodes: Nodes, name: str) -> None:
    expected = recording(name)
    assert run(expected.words, nodes.environment) == (expected.out, "", expected.code), name


def test_recordings_of_salt_key(pending: Nodes) -> None:
    played(pending, "cli_salt_key_list_pending")
    played(pending, "cli_salt_key_accept")
    with Client.connect(pending.site.bus) as bus:
        assert bus.wait("salt/key", since="oldest", timeout_s=WITHIN_S).data["act"] in ("pending", "accepted")
    out, _, _ = run(["salt-key", "-f", MINION], pending.environment)
    assert re.fullmatch(rf"Accepted Keys:\n{MINION}:  \S+\n", out)
    out, _, _ = run(["salt-key", "-L", "--out=json"], pending.environment)
    assert json.loads(out)["minions"] == [MINION]
    played(pending, "cli_salt_key_delete")


def test_a_rejection_by_salt_key(pending: Nodes) -> None:
    out, err, code = run(["salt-key", "-r", MINION], pending.environment, typed="n\n")
    assert (out.splitlines()[-1], err, code) == ("Proceed? [n/Y] ", "", 0)
    played(pending, "cli_salt_key_reject")
    played(pending, "cli_salt_key_list_rejected")
    out, _, code = run(["salt-key", "-a", "nobody", "--include-all"], pending.environment)
    assert (out, code) == ("The key glob 'nobody' does not match any unaccepted or rejected keys.\n", 0)
    assert os.path.isdir(pending.site.data)
