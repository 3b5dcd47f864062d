"""The files of providers and profiles: Salt's are taken, and what is wrong is named by file and key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sylvite.cloud.reading import read_settings
from sylvite.cloud.secret import Secret
from sylvite.cloud.settings import EventFilter
from sylvite.errors import InvalidSetting
from tests.cloud.surroundings import Surroundings

SALT_PROVIDERS = """\
my-ec2:
  driver: ec2
  id: HJGRYCILJLKJYG
  key: 'kdjgfsgm;woormgl/aserigjksjdhasdfgn'
  private_key: /etc/salt/my_test_key.pem
  keyname: my_test_key
  securitygroup: default
  location: ap-southeast-1
  minion:
    master: saltmaster.example.com
my-openstack:
  driver: openstack
  identity_url: https://identity.example.com:5000
  compute_region: RegionOne
  tenant: admin
  user: admin
  password: 123456
  ssh_username: debian
my-linode:
  driver: linode
  apikey: a-linode-key
  password: a-root-password
my-do:
  driver: digitalocean
  personal_access_token: xxx
  location: New York 1
"""
SALT_PROFILES = """\
base_ec2:
  provider: my-ec2:ec2
  image: ami-e565ba8c
  size: t1.micro
  tag: {Environment: production}
big_ec2:
  extends: base_ec2
  size: m1.large
web:
  provider: my-openstack
  size: 2
  image: debian
  networks: [private]
"""


@pytest.fixture
def salt(around: Surroundings) -> Surroundings:
    for name, text in (("providers", SALT_PROVIDERS), ("profiles", SALT_PROFILES)):
        path = around.folder / f"cloud.{name}.d" / "salt.conf"
        path.parent.mkdir(mode=0o700)
        path.write_text(text)
        path.chmod(0o600)
    return around


def refused(around: Surroundings, match: str) -> str:
    with pytest.raises(InvalidSetting, match=match) as error:
        read_settings(around.folder)
    return str(error.value)


def test_salts_files_are_taken_as_they_are(salt: Surroundings) -> None:
    found = read_settings(salt.folder)
    assert list(found.providers) == ["my-ec2", "my-openstack", "my-linode", "my-do"]
    assert list(found.profiles) == ["base_ec2", "big_ec2", "web"]
    assert found.warnings == ()
    ec2, openstack, linode, ocean = found.providers.values()
    # `key` is the secret in Salt's files, and the id in libcloud.
    assert ec2.arguments["region"] == "ap-southeast-1"
    assert ec2.arguments["key"] == "HJGRYCILJLKJYG"
    assert ec2.arguments["secret"].reveal() == "kdjgfsgm;woormgl/aserigjksjdhasdfgn"
    assert openstack.arguments["key"] == "admin"
    assert openstack.arguments["secret"].reveal() == "123456"
    assert openstack.arguments["ex_tenant_name"] == "admin"
    assert openstack.arguments["ex_force_auth_url"] == "https://identity.example.com:5000"
    assert openstack.arguments["ex_force_service_region"] == "RegionOne"
    assert ocean.arguments["key"].reveal() == "xxx"
    assert set(ec2.arguments) == {"key", "secret", "region"}
    assert set(ocean.arguments) == set(linode.arguments) == {"key"}


def test_a_profile_takes_over_what_it_extends_and_what_its_provider_says(salt: Surroundings) -> None:
    found = read_settings(salt.folder).profiles
    big, web = found["big_ec2"], found["web"]
    assert (big.machine.size, big.machine.image, big.machine.tag) == (
        "m1.large",
        "ami-e565ba8c",
        {"Environment": "production"},
    )
    assert big.machine.private_key == "/etc/salt/my_test_key.pem"
    assert big.arguments == {"keyname": "my_test_key", "securitygroup": "default"}
    assert big.machine.minion == {"master": "saltmaster.example.com"}
    assert web.machine.ssh_username == "debian"
    assert web.arguments == {"networks": ["private"]}


def test_the_main_file_holds_for_all_machines(salt: Surroundings) -> None:
    salt.write(
        "cloud", {"diff_cache_events": True, "ssh_username": "ops", "filter_events": {"created": {"keys": ["size"]}}}
    )
    salt.write("cloud.conf.d/more.conf", {"wait_for_ip_timeout": "2m"})
    found = read_settings(salt.folder)
    assert found.diff_cache_events
    assert found.filter_events == {"created": EventFilter(("size",), True)}
    assert found.profiles["base_ec2"].machine.ssh_username == "ops"
    assert found.profiles["web"].machine.ssh_username == "debian"
    assert found.profiles["web"].machine.wait_for_ip_timeout == 120.0


def test_no_files_are_no_providers(around: Surroundings) -> None:
    assert read_settings(around.folder).providers == {}
    assert read_settings(around.folder / "nowhere").profiles == {}


@pytest.mark.parametrize(
    ("name", "found", "match"),
    [
        ("cloud.providers.d/x.conf", {"lab": "openstack"}, r"x.conf: lab: .* must be a map"),
        ("cloud.providers.d/x.conf", {"lab": {"user": "me"}}, r"x.conf: lab.driver: None must be the name"),
        ("cloud.providers.d/x.conf", {"lab": {"provider": "ec2"}}, r"lab.driver: .*`provider:` is its old name"),
        ("cloud.providers.d/x.conf", {"lab": {"driver": "dummy", "list_nodes": 1}}, r"lab.list_nodes: .* must be a map"),
        ("cloud.providers.d/x.conf", {"lab": {"driver": "dummy", "ssh_port": "a"}}, r"lab.ssh_port: 'a' is not valid"),
        ("cloud.providers.d/x.conf", {"lab": {"driver": "dummy", "extends": "lba"}}, r"lab.extends: 'lba' is not there; did you mean"),
        ("cloud.providers.d/x.conf", {"lab": {"driver": "x", "extends": "lab"}}, r"lab.extends: 'lab' goes in a circle"),
        ("cloud.providers.d/x.conf", {"here": {"driver": "dummy"}}, r"x.conf: here: .* is there already, in .*here.conf"),
        ("cloud.profiles.d/x.conf", {"web": {"size": 1}}, r"x.conf: web.provider: None is not there"),
        ("cloud.profiles.d/x.conf", {"web": {"provider": "hree"}}, r"web.provider: 'hree' is not there; did you mean 'here'"),
        ("cloud.profiles.d/x.conf", {"web": {"provider": "here", "size": [1]}}, r"web.size: \[1\] is not valid"),
        ("cloud.profiles.d/x.conf", {"web": {"provider": "here", "deploy": "maybe"}}, r"web.deploy: 'maybe' is not valid"),
        ("cloud.profiles.d/x.conf", {"web": {"provider": "here", "deploy_timeout": "soon"}}, r"web.deploy_timeout: 'soon' is not one"),
        ("cloud.profiles.d/x.conf", {"web": {"provider": "here", "ssh_interface": "any"}}, r"web.ssh_interface: 'any' is not valid"),
        ("cloud", {"filter_event": {}}, r"cloud: filter_event: .* is not a setting; did you mean 'filter_events'"),
        ("cloud", {"filter_events": {"created": {"key": []}}}, r"cloud: filter_events: .*unknown field `key`"),
        ("cloud", {"diff_cache_events": "yes"}, r"cloud: diff_cache_events: 'yes' must be true or false"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_file_and_key(
    around: Surroundings, name: str, found: dict[str, Any], match: str
) -> None:
    around.provider("here", driver="dummy")
    around.write(name, found)
    refused(around, match)


@pytest.mark.parametrize(
    "text", ["a: [", "- a", "a: 1\na: 2\n", "a: &x 1\nb: *x\n", "a: !!python/object:os.system x\n"]
)
def test_what_is_no_map_of_plain_yaml_is_refused(around: Surroundings, text: str) -> None:
    path = around.write("cloud.providers.d/x.conf", {})
    path.write_text(text)
    refused(around, "x.conf")


# -- Secrets and transport -------------------------------------------------------------------------------------------


def test_no_secret_is_shown_by_anything_that_was_read(salt: Surroundings) -> None:
    salt.profile(
        "deployed", provider="my-openstack", password="a-root-password", script_env={"TOKEN": "a-script-token"}
    )
    shown = repr(read_settings(salt.folder))
    for secret in ("kdjgfsgm", "123456", "xxx", "a-root-password", "a-script-token"):
        assert secret not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "line",
    [
        'password: "hunter2-word',
        "password: hunter2-word\n  x: [",
        "password: {hunter2-word",
        "password: hunter2-word: x",
    ],
)
def test_a_file_that_cannot_be_read_shows_no_line_of_it(around: Surroundings, line: str) -> None:
    path = around.write("cloud.providers.d/x.conf", {})
    path.write_text(f"lab:\n  driver: openstack\n  {line}\n")
    assert "hunter2" not in refused(around, "x.conf")


def test_a_secret_can_be_elsewhere(around: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    token = around.write("token", {})
    token.write_text("from-a-file\n")
    monkeypatch.setenv("LAB_PASSWORD", "from-the-environment")
    around.provider(
        "lab", driver="openstack", user="me", password={"env": "LAB_PASSWORD"}, ex_force_auth_token={"file": str(token)}
    )
    arguments = read_settings(around.folder).providers["lab"].arguments
    assert arguments["secret"].reveal() == "from-the-environment"
    assert arguments["ex_force_auth_token"].reveal() == "from-a-file"
    monkeypatch.delenv("LAB_PASSWORD")
    refused(around, "lab.password: 'env: LAB_PASSWORD' is not set")
    monkeypatch.setenv("LAB_PASSWORD", "from-the-environment")
    token.chmod(0o640)
    refused(around, "lab.ex_force_auth_token: .* is a secret that others can reach")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"identity_url": "http://identity.example.com:5000"},
            "identity_url: 'http://identity.example.com' .*write https",
        ),
        ({"verify_ssl": False}, "verify_ssl: False is not taken"),
        ({"secure": False, "host": "api.example.com"}, "secure: False would send secrets in the clear"),
    ],
)
def test_secrets_are_not_sent_in_the_clear(around: Surroundings, settings: dict[str, Any], match: str) -> None:
    around.provider("lab", driver="openstack", user="me", password="secret-word", **settings)
    assert "secret-word" not in refused(around, match)


def test_this_machine_may_be_asked_in_the_clear(around: Surroundings) -> None:
    around.provider("a", driver="openstack", identity_url="http://127.0.0.1:5000")
    around.provider("b", driver="openstack", secure=False, host="localhost")
    assert set(read_settings(around.folder).providers) == {"a", "b"}


def test_a_file_with_secrets_that_others_can_read_is_said(around: Surroundings) -> None:
    around.write("cloud.providers.d/lab.conf", {"lab": {"driver": "ec2", "id": "x", "key": "y"}}, 0o644)
    around.write("cloud.providers.d/none.conf", {"here": {"driver": "dummy"}}, 0o644)
    assert read_settings(around.folder).warnings == (
        "cloud.providers.d/lab.conf holds secrets, and others can read it: `chmod 600` it",
    )


def test_a_file_that_others_can_write_is_refused(around: Surroundings) -> None:
    path = around.write("cloud.providers.d/lab.conf", {}, 0o622)
    refused(around, "others may write to .*lab.conf; `chmod go-w` it")
    path.chmod(0o600)
    path.parent.chmod(0o777)
    refused(around, "others may write to .*cloud.providers.d; `chmod go-w` it")


def test_a_file_that_is_none_is_not_waited_for(around: Surroundings) -> None:
    folder = around.folder / "cloud.providers.d"
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / "x.conf", 0o600)
    refused(around, "x.conf' is no file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(around: Surroundings) -> None:
    path: Path = around.write("cloud.providers.d/lab.conf", {})
    os.chown(path, 12345, 12345)
    refused(around, "belongs to uid 12345")


def test_a_secret_is_of_its_type_also_deep_inside(around: Surroundings) -> None:
    around.provider("here", driver="dummy")
    around.profile("web", provider="here", ex_create_attr={"user_data": "#!/bin/sh", "size": 1}, ex_admin_pass=12345678)
    arguments = read_settings(around.folder).profiles["web"].arguments
    assert isinstance(arguments["ex_create_attr"]["user_data"], Secret)
    assert arguments["ex_create_attr"]["size"] == 1
    assert arguments["ex_admin_pass"].reveal() == "12345678"
