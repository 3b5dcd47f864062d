"""What is known of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sylvite.core.event import pack_data
from sylvite.functions import grains
from sylvite.functions.data import plain
from sylvite.functions.grains import collect_grains, full_name, six_addresses
from sylvite.functions.os_release import os_grains, read_os_release


def test_grains_of_this_machine() -> None:
    """Those that can be checked here, and all of them travel in an event."""
    found = collect_grains("alpha")
    uname = os.uname()
    assert (found["id"], found["host"]) == ("alpha", socket.gethostname().partition(".")[0])
    assert (found["kernel"], found["kernelrelease"], found["cpuarch"]) == (uname.sysname, uname.release, uname.machine)
    assert found["num_cpus"] == os.cpu_count()
    assert found["uid"] == os.geteuid()
    assert found["mem_total"] > 0
    assert found["pythonversion"][:2] == [3, sys.version_info.minor]
    assert found["os"]
    assert found["os_family"]
    assert all(isinstance(addresses, list) for addresses in found["ip4_interfaces"].values())
    assert pack_data(plain(found))


def test_the_operators_grains_win() -> None:
    assert collect_grains(None, {"role": "web", "os": "Mine"}) | {"x": 1} == collect_grains(None) | {
        "role": "web", "os": "Mine", "x": 1,
    }  # fmt: skip


def test_without_an_id_it_is_the_name_of_the_machine() -> None:
    found = collect_grains()
    assert found["id"] == found["fqdn"]


def test_files_that_cannot_be_read_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container many are missing."""

    def nothing(path: str) -> str:
        return ""

    monkeypatch.setattr(grains, "_read", nothing)
    monkeypatch.setattr(socket, "if_nameindex", lambda: (_ for _ in ()).throw(OSError("none")))
    found = collect_grains()
    assert (found["mem_total"], found["cpu_model"], found["ip4_interfaces"], found["os"]) == (0, "Unknown", {}, "Linux")


HOSTS = "127.0.0.1 localhost\n10.0.0.1 web1.example.org web1 # here\n10.0.0.2 db1\n"


@pytest.mark.parametrize(
    ("node", "name"), [("web1", "web1.example.org"), ("db1", "db1"), ("other", "other"), ("here", "here")]
)
def test_a_name_with_its_domain_comes_from_the_file_of_hosts(node: str, name: str) -> None:
    """No name server is asked."""
    assert full_name(node, HOSTS) == name


def test_addresses_of_version_six() -> None:
    content = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe800000000000000000000000000001 02 40 20 80     eth0\n"
        "rubbish\n"
    )
    assert six_addresses(content) == {"lo": ["::1"], "eth0": ["fe80::1"]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n',
         {"os": "Ubuntu", "os_family": "Debian", "osrelease": "24.04", "osrelease_info": [24, 4], "osmajorrelease": 24,
          "oscodename": "noble", "osfinger": "Ubuntu-24.04"}),
        ('NAME="Rocky Linux"\nID="rocky"\nVERSION_ID="9.4"\n',
         {"os": "Rocky", "os_family": "RedHat", "osfinger": "Rocky Linux-9"}),
        ('NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n', {"os": "Debian", "os_family": "Debian", "osmajorrelease": 12}),
        ("NAME=New\nID=new\nID_LIKE='rhel fedora'\n", {"os": "New", "os_family": "RedHat", "osrelease": "", "osrelease_info": []}),
        ("NAME='Own Thing'\nID=own\n", {"os": "Own Thing", "os_family": "Own Thing"}),
        ("# nothing\nbroken line\nNAME='open\n", {"os": "open"}),
        ("", {"os": "Linux", "os_family": "Linux"}),
    ],
)  # fmt: skip
def test_systems_have_the_names_that_salt_gives_them(content: str, expected: dict[str, Any]) -> None:
    found = os_grains(read_os_release(content))
    assert {name: found.get(name) for name in expected} == expected


def test_no_program_is_run_and_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **more: object) -> object:
        raise AssertionError("not here")

    for name in ("getfqdn", "gethostbyname", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert collect_grains()["id"]


def test_a_file_of_the_system_is_read_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big"
    path.write_text("x" * 100)
    monkeypatch.setattr(grains, "READ_BYTES_MAX", 10)
    private: Any = grains
    assert private._read(str(path)) == "x" * 10
