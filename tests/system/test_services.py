"""The units of packaging/systemd/ under a systemd, installed as docs/operations.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.blocks import PROJECT, blocks
from tests.system.machine import Machine, why_not

MASTER, MINION, BROKER = "sylvite-master", "sylvite-minion", "sylvite-broker"
USERS = {MASTER: "sylvite", MINION: "sylvite-minion", BROKER: "sylvite"}
REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no systemd of its own can be started: {REASON}")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the units, the users and the folders, and the first configuration."""
    with Machine(tmp_path_factory.mktemp("machine")) as started:
        for unit in (PROJECT / "packaging" / "systemd").glob("*.service"):
            started.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
        for kind in ("sysusers", "tmpfiles"):
            started.write(f"/etc/{kind}.d/sylvite.conf", (PROJECT / "packaging" / kind / "sylvite.conf").read_text())
        started.run("systemctl", "daemon-reload")
        started.run("systemd-sysusers")
        started.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/sylvite.conf")
        started.write("/etc/sylvite/broker.yaml", "")
        started.write("/etc/sylvite/master", "interface: 127.0.0.1\n")
        yield started


def sylvite(machine: Machine, *words: str, user: str = "sylvite") -> str:
    return machine.run("sylvite", *words, user=user)


def test_master_and_minion_as_services(machine: Machine) -> None:
    """From the installation to the first job; each start returns when the service is ready."""
    machine.run("systemctl", "start", MASTER)
    finger = re.search(r"([0-9a-f]{2}:){31}[0-9a-f]{2}", sylvite(machine, "keys", "finger"))
    assert finger is not None
    minion = f'id: web1\nmaster: 127.0.0.1\nmaster_finger: "{finger[0]}"\nacceptance_wait_time: 1\n'
    machine.write("/etc/sylvite/minion", minion + "recon_default: 100\nrecon_max: 500\n")
    assert machine.run("sylvite", "config", "check").count("ok") == 2
    machine.run("systemctl", "start", MINION)
    sylvite(machine, "wait", "salt/auth", "--since", "1h", "--timeout", "60s")
    sylvite(machine, "keys", "accept", "web1", "--yes")
    sylvite(machine, "wait", "salt/minion/web1/start", "--since", "1h", "--timeout", "60s")
    assert sylvite(machine, "jobs", "run", "web1", "test.ping") == "web1:\n    True"


def test_they_have_few_rights(machine: Machine) -> None:
    for unit in (MASTER, MINION):
        process = machine.show(unit, "MainPID")
        status = machine.run("cat", f"/proc/{process}/status")
        found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert found["Uid"].split()[0] == machine.run("id", "--user", USERS[unit])
        assert (found["NoNewPrivs"], found["Seccomp"], int(found["CapEff"], 16)) == ("1", "2", 0)


def test_a_reload_reads_the_configuration_again(machine: Machine) -> None:
    machine.write("/etc/sylvite/master", "interface: 127.0.0.1\nlog_levle: info\n")
    machine.run("systemctl", "reload", MASTER, MINION)
    sylvite(machine, "jobs", "run", "web1", "test.ping")
    journal = machine.run("journalctl", "--no-pager", "--output=cat", f"--unit={MASTER}", f"--unit={MINION}")
    assert journal.count("the configuration was read again") == 2
    assert "log_levle: is not an option; did you mean 'log_level'?" in journal
    machine.write("/etc/sylvite/master", "interface: 127.0.0.1\n")


def test_one_that_is_killed_is_started_again_with_all_its_parts(machine: Machine) -> None:
    for unit in (MINION, MASTER):
        machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", unit)
        machine.wait_for(unit, "NRestarts", not_="0")
        machine.run("systemctl", "start", unit)
    assert sylvite(machine, "jobs", "run", "web1", "test.ping", "--timeout", "60s") == "web1:\n    True"


def test_one_that_hangs_is_started_again(machine: Machine) -> None:
    """As WatchdogSec of the unit says; here it says less."""
    for unit in (MASTER, MINION):
        assert re.search(r"^WatchdogSec=", (PROJECT / "packaging" / "systemd" / f"{unit}.service").read_text(), re.M)
        machine.write(f"/etc/systemd/system/{unit}.service.d/soon.conf", "[Service]\nWatchdogSec=3s\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", MASTER, MINION)
    before = {unit: machine.show(unit, "MainPID") for unit in (MASTER, MINION)}
    for process in before.values():
        machine.run("kill", "-STOP", process)
    for unit, process in before.items():
        machine.wait_for(unit, "NRestarts", not_="0")
        machine.run("systemctl", "start", unit)
        assert machine.show(unit, "MainPID") != process
        machine.run("rm", "-r", f"/etc/systemd/system/{unit}.service.d")
    machine.run("systemctl", "daemon-reload")


def test_jobs_may_do_what_the_drop_in_of_the_page_gives_back(machine: Machine) -> None:
    (part,) = (
        block.text
        for block in blocks(PROJECT / "docs" / "operations.md")
        if (block.kind, block.argument) == ("ini", f"{MINION}.service")
    )
    module = "import os\ndef touch(path):\n    open(path, 'w').close()\n    return os.getuid()\n"
    machine.write("/etc/sylvite/modules/may.py", module)
    machine.run("sh", "-c", "echo 'module_dirs: [/etc/sylvite/modules]' >> /etc/sylvite/minion")
    machine.run("systemctl", "restart", MINION)
    refused = machine.run("sylvite", "jobs", "run", "web1", "may.touch", "/etc/by-a-job", user="sylvite", check=False)
    assert "Read-only file system" in refused or "Permission denied" in refused
    machine.write(f"/etc/systemd/system/{MINION}.service.d/override.conf", part)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", MINION)
    assert sylvite(machine, "jobs", "run", "web1", "may.touch", "/etc/by-a-job", "--timeout", "60s") == "web1:\n    0"
    assert machine.run("stat", "--format=%U", "/etc/by-a-job") == "root"


def test_a_broker_alone_makes_room_for_a_master_and_back(machine: Machine) -> None:
    """They have one socket; a minion beside them is not disturbed, nor its folders."""
    process = machine.show(MINION, "MainPID")
    for unit in (BROKER, MASTER, BROKER):
        machine.run("systemctl", "start", unit)
        machine.run("sylvite", "publish", "myco/x", "{a: 1}")
        active = machine.run("systemctl", "is-active", BROKER, MASTER, check=False).split()
        assert dict(zip((BROKER, MASTER), active, strict=True))[unit] == "active"
        assert sorted(active) == ["active", "inactive"]
    machine.run("systemctl", "stop", BROKER)
    assert machine.show(MINION, "MainPID") == process
    machine.run("test", "-S", "/run/sylvite/minion/bus.sock")


def test_nothing_is_left_of_one_that_is_stopped(machine: Machine) -> None:
    """Neither of the processes of jobs, nor of the sockets."""
    machine.run("systemctl", "start", MASTER)
    machine.run("systemctl", "stop", MASTER, MINION)
    for unit in USERS:
        shown = [machine.show(unit, name) for name in ("ActiveState", "Result", "ExecMainStatus")]
        assert shown == ["inactive", "success", "0"], unit
    left = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "-m sylvite" not in left
    assert "/usr/bin/sylvite" not in left
    assert machine.run("ls", "/run/sylvite") == ""


def test_a_configuration_that_cannot_be_used_is_not_tried_again_and_again(machine: Machine) -> None:
    machine.write("/etc/sylvite/master", "interface: 127.0.0.1\nret_port: many\n")
    machine.run("systemctl", "start", MASTER, check=False)
    assert (machine.show(MASTER, "ExecMainStatus"), machine.show(MASTER, "ActiveState")) == ("78", "failed")
    assert "ret_port" in machine.run("journalctl", "--no-pager", "--lines=5", f"--unit={MASTER}")
