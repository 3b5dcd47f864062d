"""Deploying over SSH, against a real sshd on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite.cloud.deploy import MinionKey
from sylvite.cloud.errors import DeployFailed, MachineTimeout
from sylvite.cloud.secret import Secret
from sylvite.cloud.waiting import SystemClock
from sylvite.errors import InvalidSetting
from tests.cloud.openstack import OpenStack
from tests.cloud.sshd import NotToBeHad, Sshd, find_sshd
from tests.cloud.surroundings import Surroundings

PRIVATE, PUBLIC = (
    "-----BEGIN PRIVATE KEY-----\nMC4CAQA-very-private\n-----END PRIVATE KEY-----\n",
    "ssh-ed25519 AAAApublic\n",
)
SCRIPT = """\
#!/bin/sh
# $1 is -c, $2 the folder
echo "working in $2"
{ pwd; ls -l; cat minion minion.pem minion.pub; echo "args: $*"; echo "token: $TOKEN"; } >"$RESULT"
"""


@pytest.fixture(scope="module")
def program() -> str:
    """The program sshd, looked for once."""
    try:
        return find_sshd()
    except NotToBeHad as reason:
        pytest.skip(str(reason))


@pytest.fixture
def sshd(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(program, tmp_path_factory.mktemp("sshd")) as server:
        yield server


class Lab:
    """An OpenStack whose machines are all this one, and a profile that deploys."""

    def __init__(self, around: Surroundings, openstack: OpenStack, sshd: Sshd) -> None:
        self.around, self.sshd = around, sshd
        around.provider("lab", **openstack.provider())
        self.result = around.folder / "result"
        self.script(SCRIPT)
        self.profile()

    def script(self, text: str) -> None:
        path = self.around.folder / "cloud.deploy.d" / "bootstrap.sh"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(text)

    def profile(self, **more: Any) -> None:
        settings = {
            "provider": "lab", "size": "m1.small", "image": "debian-12", "script": "bootstrap", "wait_for_ip_interval": 0,
            "ssh_username": self.sshd.user, "ssh_port": self.sshd.port, "private_key": str(self.sshd.key), "sudo": False,
            "ssh_host_key": self.sshd.public_host_key, "ssh_connect_timeout": 20, "deploy_timeout": 30,
            "script_args": "-F 'two words'", "script_env": {"TOKEN": "s3cr3t-t0ken", "RESULT": str(self.result)},
            "minion": {"master": "salt.example.net"}, "grains": {"role": "web"},
        }  # fmt: skip
        self.around.profile("web", **{**settings, **more})

    def create(self, name: str = "web1", **more: Any) -> None:
        with self.around.cloud(clock=SystemClock(), **more) as cloud:
            cloud.create(name, "web")


@pytest.fixture
def lab(around: Surroundings, openstack: OpenStack, sshd: Sshd) -> Lab:
    return Lab(around, openstack, sshd)


def make_key(name: str) -> MinionKey:
    assert name == "web1"
    return MinionKey(Secret(PRIVATE), PUBLIC)


def test_the_script_finds_configuration_and_keys_and_each_step_is_told(lab: Lab) -> None:
    lab.profile(reactor=True)
    lab.create(make_key=make_key)
    bus = lab.around.bus
    assert bus.steps == [
        "creating", "requesting", "querying", "query_reactor", "waiting_for_ssh", "ssh_ready_reactor", "deploying",
        "deploy_script", "created",
    ]  # fmt: skip
    assert bus.data("waiting_for_ssh") == {"event": "waiting for ssh", "ip_address": "127.0.0.1"}
    assert bus.data("deploy_script") == {
        "event": "web1 has been deployed at 127.0.0.1", "name": "web1", "host": "127.0.0.1",
    }  # fmt: skip
    told = bus.data("deploying")
    assert told["event"] == "executing deploy script"
    assert told["kwargs"]["minion_conf"] == {"id": "web1", "master": "salt.example.net", "grains": {"role": "web"}}
    assert told["kwargs"]["preseed_minion_keys"] is True
    assert told["kwargs"]["script_args"] == ["-F", "two words"]
    for secret in ("s3cr3t-t0ken", "very-private"):
        assert secret not in str(bus.events)
    result = lab.result.read_text()
    folder, *listed = result.splitlines()
    assert json.loads(result[result.index("{") : result.index("}\n-----") + 1]) == told["kwargs"]["minion_conf"]
    assert PRIVATE + PUBLIC in result
    assert f"args: -c {folder} -F two words" in listed
    assert "token: s3cr3t-t0ken" in listed
    modes = {line.split()[-1]: line.split()[0] for line in listed if line.startswith("-r")}
    assert modes["minion.pem"] == "-r--------"
    assert modes["minion"] == "-rw-------"
    assert not Path(folder).exists()


def test_no_secret_is_in_an_argument_of_any_process(lab: Lab) -> None:
    """The script looks at all processes while it runs: ours and those at the other side."""
    lab.script('#!/bin/sh\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " >"$RESULT"\n')
    lab.create(make_key=make_key)
    seen = lab.result.read_text()
    assert "deploy.sh" in seen
    assert "s3cr3t-t0ken" not in seen
    assert "very-private" not in seen


def test_without_keys_the_machine_gets_none(lab: Lab) -> None:
    lab.script('#!/bin/sh\nls >"$RESULT"\n')
    lab.create()
    assert lab.result.read_text().split() == ["deploy.sh", "env", "minion"]
    assert lab.around.bus.data("deploying")["kwargs"]["preseed_minion_keys"] is False


def test_a_script_that_fails_says_why_and_leaves_the_machine_known(lab: Lab) -> None:
    lab.script('#!/bin/sh\necho "fetching with $TOKEN"; echo "cannot fetch with $TOKEN" >&2; exit 7\n')
    with pytest.raises(DeployFailed, match=r"exit code 7: cannot fetch with \*\*\*"):
        lab.create()
    bus = lab.around.bus
    assert bus.steps[-2:] == ["deploying", "failed"]
    assert (bus.data("failed")["code"], bus.data("failed")["left"]) == ("deploy_failed", True)
    with lab.around.cloud() as cloud:
        assert [one.step for one in cloud.ledger.unfinished()] == ["deploying"]


def test_a_script_that_does_not_end(lab: Lab) -> None:
    """The connection is cut.  Where the script has been begun it goes on, as the message says."""
    lab.profile(deploy_timeout=3)
    lab.script('#!/bin/sh\necho $$ >"$RESULT"; exec sleep 30\n')
    begun = time.monotonic()
    with pytest.raises(MachineTimeout, match="had not ended after 3 s; it may go on"):
        lab.create()
    assert time.monotonic() - begun < 300
    assert lab.around.bus.data("failed")["code"] == "machine_timeout"
    # On a busy machine three seconds may be too few for it to begin.
    if lab.result.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(lab.result.read_text()), signal.SIGKILL)


def test_output_is_shown_where_that_is_wanted(lab: Lab) -> None:
    lab.script('#!/bin/sh\necho one; printf "two $TOKEN" >&2\n')
    shown: list[str] = []
    lab.create(on_output=shown.append)
    assert shown == []
    lab.profile(display_ssh_output=True)
    lab.create("web2", on_output=shown.append)
    assert shown == ["one", "two ***"]


def test_much_output_costs_no_memory(lab: Lab) -> None:
    lab.script("#!/bin/sh\nhead -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1\n")
    with pytest.raises(DeployFailed, match="exit code 1: the end"):
        lab.create()


def test_a_host_key_that_is_not_the_expected_one(lab: Lab) -> None:
    lab.profile(ssh_host_key=lab.sshd.key.with_suffix(".pub").read_text())
    with pytest.raises(DeployFailed, match="host key"):
        lab.create()
    assert lab.around.bus.steps[-2:] == ["waiting_for_ssh", "failed"]
    assert not lab.result.exists()


def test_accept_new_takes_the_first_key_of_a_machine_and_no_other(lab: Lab) -> None:
    lab.profile(ssh_host_key="accept-new")
    lab.create()
    known = (lab.around.state / "known_hosts").read_text()
    assert known.startswith("lab.id-1 ssh-ed25519 ")
    lab.sshd.new_host_key()
    # Another machine at that address is one that is not known yet.
    lab.create("web2")
    assert len((lab.around.state / "known_hosts").read_text().splitlines()) == 2


def test_a_known_host_changes_its_key(lab: Lab, tmp_path: Path) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text(f"[127.0.0.1]:{lab.sshd.port} {lab.sshd.public_host_key}\n")
    lab.profile(ssh_host_key="known", ssh_known_hosts=str(hosts))
    lab.create()
    lab.sshd.new_host_key()
    with pytest.raises(DeployFailed, match="host key"):
        lab.create("web2")


def test_a_key_that_is_not_let_in_is_waited_for_and_then_told(lab: Lab) -> None:
    lab.profile(private_key=str(lab.sshd.stranger), ssh_connect_timeout=1)
    with pytest.raises(MachineTimeout, match="Permission denied"):
        lab.create()


def test_ssh_that_comes_late_is_waited_for(lab: Lab) -> None:
    lab.sshd.stop()
    starts = 0

    class Clock(SystemClock):
        def sleep(self, seconds: float) -> None:
            nonlocal starts
            starts += 1
            if starts == 2:
                lab.sshd.start()
            super().sleep(0.2)

    with lab.around.cloud(clock=Clock()) as cloud:
        cloud.create("web1", "web")
    assert starts >= 2
    assert lab.around.bus.steps[-1] == "created"


def test_a_port_that_is_not_ssh(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example.net ESMTP\r\n")

        greeter = threading.Thread(target=greet)
        greeter.start()
        lab.profile(ssh_port=server.getsockname()[1], ssh_connect_timeout=0)
        with pytest.raises(MachineTimeout, match="answers, but not as SSH does"):
            lab.create()
        greeter.join(10)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("script", None, "is needed to deploy"),
        ("script", "nowhere", "is not there"),
        ("private_key", None, "is needed to deploy"),
        ("private_key", "/nowhere/key", "cannot be read"),
        ("ssh_host_key", None, "accept-new"),
        ("ssh_username", "-oProxyCommand=x", "is no user's name"),
        ("script_env", {"A B": "x"}, "is not the name of a variable"),
        ("script_args", "it's one", "cannot be cut into words"),
        ("minion", {"grains": ["role"]}, "must be a map"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_created(
    lab: Lab, openstack: OpenStack, key: str, value: object, reason: str
) -> None:
    lab.profile(**{"deploy": True, key: value})
    with pytest.raises(InvalidSetting, match=f"web.{key}.*{reason}"):
        lab.create()
    assert openstack.changes() == []


@pytest.mark.parametrize("host_key", ["yes", "no", "ssh-ed25519", "ssh-ed25519 not/base64!"])
def test_a_host_key_that_is_none(lab: Lab, openstack: OpenStack, host_key: str) -> None:
    lab.profile(ssh_host_key=host_key)
    with pytest.raises(InvalidSetting, match="is no public key"):
        lab.create()
    assert openstack.changes() == []


def test_a_key_file_that_others_can_read_is_not_used(lab: Lab, openstack: OpenStack) -> None:
    lab.sshd.key.chmod(0o644)
    with pytest.raises(InvalidSetting, match="chmod 600"):
        lab.create()
    assert openstack.changes() == []


def test_a_script_that_others_can_write_is_not_run(lab: Lab, openstack: OpenStack) -> None:
    (lab.around.folder / "cloud.deploy.d" / "bootstrap.sh").chmod(0o666)
    with pytest.raises(InvalidSetting, match="chmod go-w"):
        lab.create()
    assert openstack.changes() == []


def test_sudo_runs_the_same_as_another_user(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for sudo that shows how it was called."""
    stand_in = tmp_path / "bin" / "sudo"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\n[ "$1" = -n ] || exit 9\nshift\nBY_SUDO=yes exec "$@"\n')
    stand_in.chmod(0o755)
    lab.sshd.stop()
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    lab.sshd.start()
    lab.script('#!/bin/sh\necho "by sudo: $BY_SUDO" >"$RESULT"\n')
    lab.profile(sudo=True)
    lab.create()
    assert lab.result.read_text() == "by sudo: yes\n"


def test_a_folder_with_signs_that_ssh_knows(lab: Lab, tmp_path: Path) -> None:
    lab.around.state = tmp_path / "what is %h unfinished"
    key = tmp_path / "a %u key"
    key.write_bytes(lab.sshd.key.read_bytes())
    key.chmod(0o600)
    lab.profile(private_key=str(key))
    lab.create()
    assert not list(lab.around.state.glob("host_key*"))


def test_an_id_of_a_provider_is_no_pattern_in_known_hosts(lab: Lab, openstack: OpenStack) -> None:
    lab.around.provider("Lab *,!", **openstack.provider())
    lab.profile(provider="Lab *,!", ssh_host_key="accept-new")
    lab.create()
    assert (lab.around.state / "known_hosts").read_text().startswith("lab____.id-1 ssh-ed25519 ")
    lab.sshd.new_host_key()
    with lab.around.cloud(clock=SystemClock()) as cloud:
        deployment = cloud.deployment("web1", cloud.profile("web"))
        assert deployment is not None
        with pytest.raises(DeployFailed, match="host key"):
            deployment.wait(cloud.find("web1", ["Lab *,!"]), "127.0.0.1")


def test_nothing_is_left_running(lab: Lab) -> None:
    lab.create()
    running: list[bytes] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It has just ended.
            running.append(path.read_bytes())
    assert not [arguments for arguments in running if f"-p\0{lab.sshd.port}\0".encode() in arguments]
