"""External authentication and perms: who is let in, and what he may do."""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sylvite.api import eauth, pam
from sylvite.api.eauth import Eauth, groups_of, make_line, perms_of
from sylvite.api.problems import TooManyRequests
from sylvite.api.salt.perms import may_call, may_run
from sylvite.api.settings import ApiSettings, read_settings
from sylvite.daemons.options.master import MasterOptions
from sylvite.errors import InvalidSetting, NotAuthenticated

PASSWORD = "correct horse battery staple"


def check(settings: ApiSettings, **credentials: Any) -> eauth.Person:
    return asyncio.run(Eauth(settings).check(credentials, "192.0.2.1"))


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(
        f"{make_line('alice', PASSWORD, os.urandom(16))}\nplain:{PASSWORD}\nbroken:scrypt$x$8$1$a$b\nfast:scrypt$2$8$1$YQ==$YQ==\n"
    )
    path.chmod(0o600)
    return path


def of_file(path: Path, **perms: Any) -> ApiSettings:
    return ApiSettings(external_auth={"file": {"^filename": str(path), **perms}})


def test_a_file_of_users(users: Path) -> None:
    settings = of_file(users, alice=["test.*"], plain=[".*"], broken=[".*"], fast=[".*"], nobody=[".*"])
    person = check(settings, username="alice", password=PASSWORD, eauth="file")
    assert (person.name, person.backend, person.perms) == ("alice", "file", ("test.*",))
    for name, password in (
        ("alice", "wrong"),
        ("plain", PASSWORD),
        ("broken", "x"),
        ("fast", "x"),
        ("nobody", ""),
        ("", ""),
        ("^filename", ""),
    ):
        with pytest.raises(NotAuthenticated, match="Could not authenticate"):
            check(settings, username=name, password=password, eauth="file")


@pytest.mark.parametrize(
    "credentials",
    [
        {}, {"username": "alice"}, {"username": "alice", "password": PASSWORD}, {"username": 5, "password": PASSWORD, "eauth": "file"},
        {"username": "alice", "password": PASSWORD, "eauth": "ldap"}, {"username": "alice", "password": PASSWORD, "eauth": ["file"]},
        {"username": "alice", "password": PASSWORD * 100, "eauth": "file"}, {"username": "al\0ice", "password": PASSWORD, "eauth": "file"},
    ],
)  # fmt: skip
def test_what_shows_nothing(users: Path, credentials: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        check(of_file(users, alice=[".*"]), **credentials)


def test_a_file_that_others_may_write_is_not_used(users: Path) -> None:
    users.chmod(0o666)
    with pytest.raises(InvalidSetting):
        check(of_file(users, alice=[".*"]), username="alice", password=PASSWORD, eauth="file")


def test_a_shared_secret_has_to_be_long() -> None:
    for secret, right in (("s" * 32, True), ("s" * 31, False), ("", False)):
        settings = ApiSettings(external_auth={"sharedsecret": {"*": [".*"]}}, sharedsecret=secret)
        if right:
            assert check(settings, username="any", password=secret, eauth="sharedsecret").name == "any"
        else:
            with pytest.raises(NotAuthenticated):
                check(settings, username="any", password=secret, eauth="sharedsecret")


def test_guessing_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ApiSettings(external_auth={"sharedsecret": {"*": [".*"]}}, sharedsecret="s" * 32)

    async def guess() -> None:
        who = Eauth(settings)
        for _ in range(eauth.CHECKS_MAX):
            with pytest.raises(NotAuthenticated):
                await who.check({"username": "a", "password": "x", "eauth": "sharedsecret"}, "192.0.2.1")
        for password in ("x", "s" * 32):
            with pytest.raises(TooManyRequests):
                await who.check({"username": "a", "password": password, "eauth": "sharedsecret"}, "192.0.2.1")
        await who.check({"username": "a", "password": "s" * 32, "eauth": "sharedsecret"}, "192.0.2.2")
        monkeypatch.setattr(eauth, "CHECKS_S", 0.0)
        await who.check({"username": "a", "password": "s" * 32, "eauth": "sharedsecret"}, "192.0.2.1")

    asyncio.run(guess())


def test_perms_are_one_s_own_or_those_of_all() -> None:
    users = {"alice": ["a"], "*": ["b"], "^filename": "x", "admins%": ["c"], "odd": "text"}
    assert perms_of(users, "alice") == ("a",)
    assert perms_of(users, "carol") == ("b",)
    for name in ("^filename", "admins%", "*", "odd"):
        assert perms_of(users, name) == ()


def test_what_a_group_may_do_comes_on_top() -> None:
    users = {"alice": ["a"], "*": ["b"], "admins%": ["c", "a"], "others%": ["d"], "odd%": "text"}
    assert perms_of(users, "alice", {"admins", "odd"}) == ("a", "c")
    assert perms_of(users, "carol", {"admins", "others"}) == ("b", "c", "a", "d")
    assert perms_of({"admins%": ["c"]}, "admins%", {"admins"}) == ()


def test_groups_are_those_of_the_system() -> None:
    me = pwd.getpwuid(os.getuid())
    assert grp.getgrgid(me.pw_gid).gr_name in groups_of(me.pw_name)
    assert groups_of("nobody-of-this-name") == frozenset()


def test_who_is_known_by_pam_has_the_rights_of_his_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    async def yes(service: str, name: str, password: str) -> bool:
        return bool(service and name and password)

    monkeypatch.setattr(eauth, "_pam", yes)
    me = pwd.getpwuid(os.getuid())
    settings = ApiSettings(external_auth={"pam": {f"{grp.getgrgid(me.pw_gid).gr_name}%": ["test.*"]}})
    person = check(settings, username=me.pw_name, password="x", eauth="pam")
    assert person.perms == ("test.*",)
    with pytest.raises(NotAuthenticated):
        check(settings, username="nobody-of-this-name", password="x", eauth="pam")


def test_a_group_where_there_are_none_is_a_mistake() -> None:
    with pytest.raises(InvalidSetting, match="pam alone has groups"):
        read_settings(MasterOptions(external_auth={"file": {"admins%": [".*"]}}), {})


@pytest.mark.parametrize(
    ("perms", "functions", "may"),
    [
        ([".*"], ["test.ping"], True), (["test.*"], ["test.ping", "test.echo"], True), (["test.ping"], ["test.pings"], False),
        (["test.*"], ["test.ping", "cmd.run"], False), ([], ["test.ping"], False), (["@runner"], ["test.ping"], False),
        ([{"here": ["test.*"]}], ["test.ping"], True), ([{"there": ["test.*"]}], ["test.ping"], False), (["("], ["("], False),
        ([{"@runner": ["test.ping"]}], ["test.ping"], False), ([5, None, {"here": "test.*"}], ["test.ping"], False),
    ],
)  # fmt: skip
def test_may_run(perms: list[Any], functions: list[str], may: bool) -> None:
    assert may_run(perms, functions, lambda target: target == "here") is may


@pytest.mark.parametrize(
    ("perms", "kind", "function", "may"),
    [
        (["@runner"], "runner", "jobs.list_jobs", True), (["@runner"], "wheel", "key.list_all", False), (["@jobs"], "runner", "jobs.active", True),
        (["@jobs"], "runner", "cloud.destroy", False), (["@jobs"], "wheel", "jobs.x", False), ([{"@runner": ["jobs.*"]}], "runner", "jobs.active", True),
        ([{"@wheel": ["key.list.*"]}], "wheel", "key.accept", False), ([".*"], "runner", "jobs.active", False),
    ],
)  # fmt: skip
def test_may_call(perms: list[Any], kind: str, function: str, may: bool) -> None:
    assert may_call(perms, kind, function) is may


def _has_pam() -> bool:
    try:
        library = ctypes.CDLL(ctypes.util.find_library("pam") or "libpam.so.0")
    except OSError:
        return False
    return hasattr(library, "pam_start_confdir")


@pytest.mark.skipif(not _has_pam(), reason="there is no libpam here that takes a folder of services")
@pytest.mark.parametrize(
    ("auth", "account", "answer"),
    [("pam_permit", "pam_permit", pam.YES), ("pam_deny", "pam_permit", pam.NO), ("pam_permit", "pam_deny", pam.NO)],
)
def test_pam_in_a_process_of_its_own(tmp_path: Path, auth: str, account: str, answer: int) -> None:
    """The account counts beside the password: one that is locked is not let in."""
    (tmp_path / "sylvite").write_text(f"auth required {auth}.so\naccount required {account}.so\n")
    asked = json.dumps({"service": "sylvite", "name": "root", "password": "x", "folder": str(tmp_path)})
    ended = subprocess.run([sys.executable, "-m", "sylvite.api.pam"], input=asked.encode(), timeout=60, check=False)
    assert ended.returncode == answer


@pytest.mark.skipif(not _has_pam(), reason="there is no libpam here")
def test_pam_says_no_to_whom_it_does_not_know() -> None:
    settings = ApiSettings(external_auth={"pam": {"*": [".*"]}}, pam_service="login")
    with pytest.raises(NotAuthenticated):
        check(settings, username="nobody-of-this-name", password="x", eauth="pam")
