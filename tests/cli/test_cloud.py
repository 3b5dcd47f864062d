"""`sylvite cloud`: the real program, a real broker, and OpenStack over HTTP."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from sylvite.testing.broker import BrokerProcess
from tests.cli.program import Program
from tests.cloud.openstack import PASSWORD, Fault, OpenStack
from tests.cloud.surroundings import Surroundings

WITHIN_S = 60.0
JSON = (("Content-Type", "application/json"),)


class Lab:
    """A program with a configuration: `here` is the dummy, `lab` the OpenStack."""

    def __init__(self, run: Program, around: Surroundings, openstack: OpenStack, socket: Path) -> None:
        self.run, self.around, self.openstack, self.socket = run, around, openstack, socket
        run.environment |= {"SYLVITE_CONFIG_DIR": str(around.folder), "SYLVITE_CLOUD_STATE": str(around.state)}
        around.provider("here", driver="dummy")
        around.provider("lab", **openstack.provider())
        around.profile("small", provider="here", size="Small", image="Ubuntu 9.04")
        around.profile("web", provider="lab", size="m1.small", image="debian-12", wait_for_ip_interval=0.1)

    def __call__(self, *arguments: str) -> Any:
        return self.run("cloud", *arguments)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        with Client.connect(self.socket) as bus:
            return [(event.tag, event.data) for event in bus.subscribe("salt/cloud/", since="oldest", until_end=True)]

    def steps(self) -> list[str]:
        return [tag.removeprefix("salt/cloud/") for tag, _ in self.events()]

    def wait_for(self, step: str) -> None:
        with Client.connect(self.socket) as bus:
            bus.wait(f"*/{step}", since="oldest", timeout_s=WITHIN_S)


@pytest.fixture
def openstack() -> Iterator[OpenStack]:
    with OpenStack() as server:
        yield server


@pytest.fixture
def lab(sylvite_broker: BrokerProcess, tmp_path: Path, openstack: OpenStack) -> Lab:
    return Lab(Program(sylvite_broker.socket, tmp_path), Surroundings(tmp_path), openstack, sylvite_broker.socket)


def test_providers_and_profiles_are_listed_without_asking_anybody(lab: Lab) -> None:
    assert lab("providers").lines == ["NAME  DRIVER     PROFILES", "here  dummy      small", "lab   openstack  web"]
    assert lab("profiles").lines[2].split() == ["web", "lab", "m1.small", "debian-12", "-", "-"]
    assert json.loads(lab("providers", "--json").out)[1] == {"name": "lab", "driver": "openstack", "profiles": ["web"]}
    lab.around.profile("web", provider="lab", size="m1.small", image="debian-12", password="root-word", ex_userdata="x")
    (_, web) = json.loads(lab("profiles", "--json").out)
    assert (web["provider"], web["password"], web["ex_userdata"]) == ("lab", "***", "***")
    assert lab.openstack.asked == []


def test_a_machine_from_its_creation_to_its_end(lab: Lab) -> None:
    created = lab("create", "web", "web1")
    assert (created.code, created.out) == (0, "web1 is created: id-1 at lab, 127.0.0.1\n")
    assert created.err.splitlines() == [
        f"web1: {text}" for text in ("starting create", "requesting instance", "querying instance", "created instance")
    ]
    assert lab("list", "--provider", "lab").lines == [
        "NAME  PROVIDER  ID    STATE    ADDRESSES", "web1  lab       id-1  running  127.0.0.1",
    ]  # fmt: skip
    assert lab("action", "stop", "web1", "-q").out == "web1 is stopped\n"
    assert json.loads(lab("list", "--provider", "lab", "--json").out)[0]["state"] == "stopped"
    assert json.loads(lab("action", "start", "web1", "--json").out)["action"] == "start"
    assert lab("action", "reboot", "id-1", "-q").out == "web1 was told to reboot\n"
    assert lab("destroy", "web1", "-y", "-q").out == "web1 is destroyed: id-1 at lab\n"
    assert lab("list", "--provider", "lab").err == "no machines\n"
    assert lab.steps() == [
        f"web1/{step}"
        for step in (
            "creating", "requesting", "querying", "created", "stopping", "stopped", "starting", "started", "rebooting",
            "destroying", "destroyed",
        )
    ]  # fmt: skip


def test_destroy_asks_first(lab: Lab) -> None:
    lab.openstack.add("web1", "ACTIVE")
    done = lab("destroy", "web1")
    assert done.code == 2
    assert "Destroy web1 (id-1 at lab)? There is no terminal to answer on: add -y" in done.err
    assert lab("destroy", "web1", "--dry-run").out == "web1 would be destroyed: id-1 at lab\n"
    assert lab("destroy", "web1", "nobody", "-y").code == 1  # None is destroyed where one is not there.
    assert lab.openstack.changes() == []
    assert lab.events() == []


def test_a_dry_run_of_create_asks_nobody(lab: Lab) -> None:
    lab.run.environment["SYLVITE_SOCKET"] = "/nowhere/bus.sock"
    done = lab("create", "web", "web1", "web2", "--dry-run", "--json")
    assert [one["name"] for one in json.loads(done.out)] == ["web1", "web2"]
    assert lab("create", "web", "a/b", "--dry-run").code == 2
    assert lab.openstack.asked == []


def test_several_machines_are_made_though_one_fails(lab: Lab) -> None:
    lab.openstack.add("web2", "ACTIVE")
    done = lab("create", "web", "web1", "web2", "web3", "--json")
    assert done.code == 1
    first, second, third = json.loads(done.out)
    assert (first["id"], third["id"]) == ("id-2", "id-3")
    assert second["error"]["code"] == "machine_exists"
    assert lab.steps()[4:5] == ["web2/failed"]


@pytest.mark.parametrize(
    ("fault", "code", "error"),
    [
        (
            Fault("POST", "/v3/auth/tokens", 401, '{"error": {"message": "no", "code": 401}}', JSON),
            77,
            "provider_refused",
        ),
        (Fault("POST", "/servers", 429, "{}", (("Retry-After", "999"),)), 75, "provider_busy"),
        (Fault("POST", "/servers", cut="before"), 124, "provider_answer_unknown"),
        (Fault("GET", "/servers/detail", cut="before"), 69, "provider_not_reachable"),
        (Fault("GET", "/flavors/detail", 500, "oops"), 1, "provider_error"),
    ],
)
def test_errors_have_their_exit_codes_and_one_line(lab: Lab, fault: Fault, code: int, error: str) -> None:
    lab.openstack.faults.append(fault)
    done = lab("create", "web", "web1", "--json")
    assert done.code == code
    assert json.loads(done.err)["error"]["code"] == error
    assert lab.steps()[-1] == "web1/failed"
    assert lab.events()[-1][1]["code"] == error


def test_no_secret_is_in_any_output_event_or_file(lab: Lab) -> None:
    lab.openstack.faults.append(Fault("POST", "/servers", 400, f"wrong: {PASSWORD}"))
    printed = ""
    for arguments in (
        ("create", "web", "web1", "-v", "--debug"), ("create", "web", "web2", "-v", "--debug"), ("list", "--debug"),
        ("providers", "--json"), ("profiles", "--json"), ("destroy", "web2", "-y", "--debug"),
    ):  # fmt: skip
        done = lab(*arguments)
        printed += done.out + done.err
    assert "wrong: ***" in printed
    kept = b"".join(path.read_bytes() for path in lab.around.state.iterdir())
    for secret in (PASSWORD, "gAAAAABtoken", "made-by-nova"):
        assert secret not in printed + str(lab.events())
        assert secret.encode() not in kept


def test_libcloud_is_not_made_to_write_its_requests_into_a_file(lab: Lab, tmp_path: Path) -> None:
    lab.run.environment["LIBCLOUD_DEBUG"] = str(tmp_path / "requests")
    assert lab("create", "web", "web1").code == 0
    assert not (tmp_path / "requests").exists()


def test_without_the_library_one_line_says_what_to_install(lab: Lab, tmp_path: Path) -> None:
    """A package in its place that says that it is not there."""
    stand_in = tmp_path / "path" / "libcloud" / "__init__.py"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text("raise ModuleNotFoundError(\"No module named 'libcloud'\", name='libcloud')\n")
    lab.run.environment["PYTHONPATH"] = str(stand_in.parents[1])
    needed = "sylvite: apache-libcloud is not installed, and machines need it: pip install 'sylvite[cloud]'\n"
    for arguments in (
        ("create", "web", "web1"),
        ("create", "web", "web1", "--dry-run"),
        ("destroy", "web1", "-y"),
        ("list",),
    ):
        done = lab(*arguments)
        assert (done.code, done.err) == (78, needed), arguments
    assert lab("providers").code == 0  # What needs no library works.
    assert lab("--help").code == 0


def test_without_a_broker_nothing_is_begun(lab: Lab) -> None:
    lab.run.environment["SYLVITE_SOCKET"] = "/nowhere/bus.sock"
    done = lab("create", "web", "web1")
    assert done.code == 69
    assert lab.openstack.asked == []


def test_a_warning_about_files_with_secrets(lab: Lab) -> None:
    (lab.around.folder / "cloud.providers.d" / "lab.conf").chmod(0o644)
    assert lab("providers").err == (
        "sylvite: cloud.providers.d/lab.conf holds secrets, and others can read it: `chmod 600` it\n"
    )


def begin(lab: Lab) -> Any:
    """Start to create a machine that never runs; return the program when it waits for that."""
    lab.openstack.states = ["BUILD"]
    process = lab.run.start("cloud", "create", "web", "web1")
    lab.wait_for("querying")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_creation_is_told_and_remembered(lab: Lab, number: int) -> None:
    process = begin(lab)
    process.send_signal(number)
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130
    tag, data = lab.events()[-1]
    assert (tag, data["code"], data["left"], data["instance_id"]) == (
        "salt/cloud/web1/failed", "machine_interrupted", True, "id-1",
    )  # fmt: skip
    listed = lab("list", "--provider", "lab")
    assert listed.lines[1].split() == ["web1", "lab", "id-1", "pending,", "unfinished", "-"]
    assert "web1 at lab got to querying" in listed.err
    assert "interrupted" in listed.err


def test_a_killed_creation_is_told_by_the_next_command(lab: Lab) -> None:
    process = begin(lab)
    going_on = lab("list", "--provider", "lab")
    assert "being created" in going_on.err
    process.kill()
    process.communicate(timeout=WITHIN_S)
    assert lab.steps()[-1] == "web1/querying"
    assert "the process that created it has ended" in lab("list", "--provider", "lab").err
    lab.openstack.states = ["ACTIVE"]
    done = lab("create", "web", "web2")
    assert done.code == 0
    assert "web1 at lab was left unfinished: see `sylvite cloud list`" in done.err
    assert lab.steps()[3] == "web1/failed"
    assert lab.events()[3][1]["instance_id"] == "id-1"
    assert lab("create", "web", "web1").code == 1
    assert lab("destroy", "web1", "-y").code == 0
    assert lab("list", "--provider", "lab").err == ""


def test_a_broker_that_dies_and_comes_back_meanwhile_costs_nothing(lab: Lab, sylvite_broker: BrokerProcess) -> None:
    """Each event is there once."""
    process = begin(lab)
    sylvite_broker.kill()
    sylvite_broker.start()
    lab.openstack.servers[0].states[:] = ["ACTIVE"]
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0
    assert lab.steps() == [f"web1/{step}" for step in ("creating", "requesting", "querying", "created")]


def test_what_was_begun_and_is_not_there_is_forgotten_by_destroy(lab: Lab) -> None:
    lab.openstack.faults.append(Fault("POST", "/servers", cut="before"))
    assert lab("create", "web", "web1").code == 124
    listed = lab("list", "--provider", "lab")
    assert listed.lines[1].split() == ["web1", "lab", "-", "unknown,", "unfinished", "-"]
    assert lab("destroy", "web1", "-y").out == "web1 is forgotten: not there at lab\n"
    assert lab("list", "--provider", "lab").err == "no machines\n"
    assert not [step for step in lab.steps() if "destroy" in step]  # Nothing was.


def test_the_password_is_in_no_argument_while_a_machine_is_made(lab: Lab) -> None:
    process = begin(lab)
    try:
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"create" in shown
        assert PASSWORD.encode() not in shown
    finally:
        process.kill()
        process.communicate()


def test_changes_are_told_by_list_where_that_is_wanted(lab: Lab) -> None:
    lab.openstack.add("web1", "ACTIVE")
    lab("list", "--provider", "lab")
    assert lab.events() == []
    lab.around.write("cloud", {"diff_cache_events": True})
    lab("list", "--provider", "lab")
    assert lab.steps() == ["web1/cache_node_new"]


def test_a_name_of_a_provider_cannot_speak_to_the_terminal(lab: Lab) -> None:
    lab.openstack.add("web\x1b[31m\n1", "ACTIVE")
    shown = lab("list", "--provider", "lab").out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
