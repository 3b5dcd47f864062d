"""The unit files: systemd takes them, and what they start runs and says that it is ready."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from tests.daemons.nodes import free_port
from tests.docs.blocks import PROJECT, blocks
from tests.docs.session import WITHIN_S

UNITS = sorted((PROJECT / "packaging" / "systemd").glob("*.service"))
EXPOSURE_MAX = 2.0
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def parse(text: str) -> configparser.RawConfigParser:
    """Read a unit: names as they are, and the last of several equal ones."""
    parser = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] - as configparser documents it: names keep their case
    parser.read_string(text)
    return parser


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Each unit, with a program that is there."""
    target = tmp_path / request.param.name
    target.write_text(request.param.read_text().replace("/usr/bin/sylvite", shutil.which("true") or "/bin/true"))
    return target


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_can_be_read(path: Path) -> None:
    found = parse(path.read_text())
    assert found.sections() == ["Unit", "Service", "Install"]
    assert found["Service"]["Type"] == "notify"


def test_parts_of_units_in_the_pages_name_what_the_unit_has() -> None:
    """A drop-in that takes something back; what it does before the start is its own."""
    for page in (PROJECT / "docs").glob("*.md"):
        for block in blocks(page):
            if block.kind == "ini":
                whole = parse((PROJECT / "packaging" / "systemd" / block.argument).read_text())
                part = parse(block.text)
                for section in part.sections():
                    for name in set(part[section]) - {"ExecStartPre"}:
                        assert name.replace("Allow", "Deny") in whole[section], f"{block.place}: {name}"


@needs_systemd
def test_systemd_verifies_it(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_it_is_exposed_little(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False, timeout=WITHIN_S,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip("this systemd-analyze cannot look at a file")
    assert float(found[1]) <= EXPOSURE_MAX


def test_every_user_of_a_unit_is_made() -> None:
    made = {line.split()[1] for line in (PROJECT / "packaging" / "sysusers" / "sylvite.conf").read_text().splitlines()
            if line.startswith("u ")}  # fmt: skip
    assert {parse(path.read_text())["Service"]["User"] for path in UNITS} == made


def test_folders_that_a_unit_may_write_to_are_those_of_its_node() -> None:
    """The defaults of the options: each lies in a folder that systemd makes, or tmpfiles."""
    for path, options in (("sylvite-master.service", MasterOptions()), ("sylvite-minion.service", MinionOptions())):
        service = parse((PROJECT / "packaging" / "systemd" / path).read_text())["Service"]
        assert str(options.data_dir) == f"/var/lib/{service['StateDirectory']}"
        assert str(options.cachedir) == f"/var/cache/{service['CacheDirectory']}"
        assert str(options.sock_dir) == f"/var/run/{service['RuntimeDirectory']}"
    made = (PROJECT / "packaging" / "tmpfiles" / "sylvite.conf").read_text()
    assert f"d {MinionOptions().pki_dir} 0700 sylvite-minion" in made


class Manager:
    """What systemd is to a service: it hears when the service is ready, that it lives, and when it stops."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.settimeout(WITHIN_S)
        self._told = False
        told = {"NOTIFY_SOCKET": str(folder / "notify"), "JOURNAL_STREAM": "8:1", **environment}
        self.service = subprocess.Popen(
            [sys.executable, "-m", "sylvite", *arguments], stderr=subprocess.PIPE, text=True, env={**os.environ, **told}
        )

    def hears(self, state: str) -> None:
        """Wait for a state; signs of life in between are passed over."""
        while (heard := self._socket.recv(100).decode()) != state:
            assert heard == "WATCHDOG=1", heard

    def tell_to_stop(self) -> None:
        self._told = True
        self.service.terminate()

    def stop(self) -> str:
        self._socket.close()
        if not self._told:
            self.service.terminate()
        try:
            return self.service.communicate(timeout=WITHIN_S)[1]
        finally:
            self.service.kill()
            self.service.communicate()


def started(name: str, folder: Path, **environment: str) -> Manager:
    """The command of a unit, with its folders below one of ours."""
    service = parse((PROJECT / "packaging" / "systemd" / name).read_text())["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == "/usr/bin/sylvite"
    arguments = [
        str(folder / argument.lstrip("/").replace("/", "-")) if argument.startswith("/") else argument
        for argument in arguments
    ]
    for name in ("master", "minion"):
        (folder / name).write_text(
            f"root_dir: {folder}\nid: {name}\ninterface: 127.0.0.1\nret_port: {free_port()}\nmaster_type: disable\n"
        )
    if "--config" in arguments:
        Path(arguments[arguments.index("--config") + 1]).touch()
    environment |= {"WATCHDOG_USEC": str(300_000)} if "WatchdogSec" in service else {}
    return Manager(folder, *arguments, SYLVITE_CONFIG_DIR=str(folder), **environment)


@pytest.mark.parametrize("name", [path.name for path in UNITS])
def test_what_it_starts_says_when_it_is_ready_and_when_it_stops(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    manager = started(name, tmp_path_factory.mktemp("unit"))
    try:
        manager.hears("READY=1")
        manager.service.send_signal(signal.SIGHUP)
        if name != "sylvite-broker.service":
            manager.hears("WATCHDOG=1")
            manager.hears("WATCHDOG=1")
        manager.tell_to_stop()
        manager.hears("STOPPING=1")
    finally:
        errors = manager.stop()
    assert manager.service.returncode == 0
    # journald takes the priority from the beginning of each line.
    assert {line[:3] for line in errors.splitlines()} <= {"<4>", "<6>"}, errors
