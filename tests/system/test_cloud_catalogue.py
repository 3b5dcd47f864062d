"""The events of a machine that is created, tagged, deployed over SSH and destroyed: spec/salt-events.md 3.5, on the bus of a real master.

The provider is an OpenStack over HTTP on this machine, the machine itself a real sshd on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sylvite import Client, Event
from sylvite.compat.bus import received
from tests.cloud.openstack import OpenStack
from tests.cloud.sshd import NotToBeHad, Sshd, find_sshd
from tests.daemons.network import Network
from tests.system.golden import Shape, differences, told

STEPS: dict[str, tuple[str, Shape]] = {
    "creating": ("starting create", told(event=str, name=str, profile=str, provider=str, driver=str)),
    "requesting": ("requesting instance", told(event=str, kwargs=dict, location=(str, dict, type(None)))),
    "querying": ("querying instance", told(event=str, instance_id=str)),
    "query_reactor": ("instance queried", told(event=str)),
    "tagging": ("setting tags", told(event=str, tags=dict)),
    "waiting_for_ssh": ("waiting for ssh", told(event=str, ip_address=str)),
    "ssh_ready_reactor": ("ssh is available", told(event=str, ip_address=str)),
    "deploying": ("executing deploy script", told(event=str, kwargs=dict)),
    "deploy_script": ("web1 has been deployed at 127.0.0.1", told(event=str, name=str, host=str)),
    "created": ("created instance", told(event=str, name=str, profile=str, provider=str, driver=str, instance_id=str)),
    "destroying": ("destroying instance", told(event=str, name=str, instance_id=str)),
    "destroyed": ("destroyed instance", told(event=str, name=str, instance_id=str)),
}
"""Salt's order; the text of each, and its fields."""
KWARGS = {
    "conf_file", "deploy_command", "display_ssh_output", "host", "keep_tmp", "key_filename", "make_minion", "minion_conf",
    "name", "parallel", "preseed_minion_keys", "script", "script_args", "script_env", "sock_dir", "start_action", "sudo",
    "tmp_dir", "tty", "username",
}  # fmt: skip
"""Of `deploying`, all that Salt has there."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Event]]:
    try:
        program = find_sshd()
    except NotToBeHad as reason:
        pytest.skip(str(reason))
    network = Network(tmp_path_factory.mktemp("cloud"))
    with OpenStack() as openstack, Sshd(program, tmp_path_factory.mktemp("sshd")) as sshd, network.master.run("master"):
        configure(network.master.folder, openstack, sshd)
        network.master("cloud", "create", "web", "web1")
        network.master("cloud", "destroy", "web1", "--yes")
        with Client.connect(network.bus) as bus:
            yield list(bus.subscribe("salt/cloud/", since="oldest", until_end=True))


def configure(folder: Path, openstack: OpenStack, sshd: Sshd) -> None:
    write(folder / "cloud.providers.d" / "lab.conf", {"lab": openstack.provider()})
    profile = {
        "provider": "lab", "size": "m1.small", "image": "debian-12", "script": "bootstrap", "wait_for_ip_interval": 0,
        "ssh_username": sshd.user, "ssh_port": sshd.port, "private_key": str(sshd.key), "sudo": False,
        "ssh_host_key": sshd.public_host_key, "ssh_connect_timeout": 20, "deploy_timeout": 30, "reactor": True,
        "tag": {"role": "web"}, "minion": {"master": "salt.example.net"},
    }  # fmt: skip
    write(folder / "cloud.profiles.d" / "web.conf", {"web": profile})
    script = folder / "cloud.deploy.d" / "bootstrap.sh"
    script.parent.mkdir(mode=0o700)
    script.write_text("#!/bin/sh\ntrue\n")


def write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(mode=0o755)
    file.write_bytes(msgspec.json.encode(content))  # JSON is YAML
    file.chmod(0o600)


def test_the_steps_come_in_salts_order(events: list[Event]) -> None:
    assert [event.tag for event in events] == [f"salt/cloud/web1/{step}" for step in STEPS]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_as_salt_has_it(events: list[Event], step: str) -> None:
    text, shape = STEPS[step]
    (event,) = [event for event in events if event.tag.endswith(f"/{step}")]
    assert differences(received(event).data, shape) == [], event.data
    assert event.data["event"] == text


def test_what_is_told_of_a_deployment_is_what_salt_tells(events: list[Event]) -> None:
    (event,) = [event for event in events if event.tag.endswith("/deploying")]
    assert set(event.data["kwargs"]) <= KWARGS | {"port"}  # `port` is ours
    assert {"host", "name", "minion_conf", "script", "username"} <= set(event.data["kwargs"])
