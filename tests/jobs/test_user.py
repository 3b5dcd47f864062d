"""Who asks for a job."""

from __future__ import annotations

import pwd

import pytest

from sylvite.jobs.user import calling_user


def test_who_asks_is_named_as_salt_names_him(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "root"

    def look_up(uid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", 0, 0, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwuid", look_up)
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert calling_user() == "root"
    monkeypatch.setenv("SUDO_USER", "alice")
    assert calling_user() == "sudo_alice"
    name = "bob"
    assert calling_user() == "bob"
