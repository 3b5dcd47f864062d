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


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit of the broker, with a program that is there."""
    text = (PROJECT / "packaging" / "systemd" / "sylvite-broker.service").read_text()
    target = tmp_path / "sylvite-broker.service"
    target.write_text(text.replace("/usr/bin/sylvite", shutil.which("true") or "/bin/true"))
    return target


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_can_be_read(path: Path) -> None:
    found = parse(path.read_text())
    assert found.sections() == ["Unit", "Service", "Install"]
    assert found["Service"]["Type"] == "notify"


def test_parts_of_units_in_the_pages_name_what_the_unit_has() -> None:
    """A drop-in that takes something back."""
    for page in (PROJECT / "docs").glob("*.md"):
        for block in blocks(page):
            if block.kind == "ini":
                whole = parse((PROJECT / "packaging" / "systemd" / block.argument).read_text())
                part = parse(block.text)
                for section in part.sections():
                    for name in part[section]:
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


def test_what_it_starts_says_when_it_is_ready_and_when_it_stops(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The command of the unit, with its folders below one of ours."""
    folder = tmp_path_factory.mktemp("unit")
    command = parse((PROJECT / "packaging" / "systemd" / "sylvite-broker.service").read_text())["Service"]["ExecStart"]
    program, *arguments = shlex.split(command)
    assert program == "/usr/bin/sylvite"
    arguments = [
        str(folder / argument.lstrip("/").replace("/", "-")) if argument.startswith("/") else argument
        for argument in arguments
    ]
    Path(arguments[arguments.index("--config") + 1]).touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(WITHIN_S)
        broker = subprocess.Popen(
            [sys.executable, "-m", "sylvite", *arguments], stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "JOURNAL_STREAM": "8:1"},
        )  # fmt: skip
        try:
            assert manager.recv(100) == b"READY=1"
            broker.send_signal(signal.SIGHUP)
            broker.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            _, errors = broker.communicate(timeout=WITHIN_S)
        finally:
            broker.kill()
            broker.communicate()
    assert broker.returncode == 0
    # journald takes the priority from the beginning of each line.
    assert all(line.startswith("<6>") for line in errors.splitlines())
