"""`salt.config`: which file counts, and what it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.compat.config import DEFAULT_MINION_OPTS, client_config, get_id, master_config, minion_config
from sylvite.compat.exceptions import SaltConfigurationError


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without configuration, and a home without files."""
    for name in ("SALT_MASTER_CONFIG", "SALT_MINION_CONFIG", "SALT_CLIENT_CONFIG", "SYLVITE_MASTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SALT_CONFIG_DIR", str(tmp_path / "etc"))
    monkeypatch.setenv("SYLVITE_CONFIG_DIR", str(tmp_path / "sylvite"))
    (tmp_path / "home").mkdir()
    return tmp_path


def test_a_file_of_salt(tmp_path: Path) -> None:
    file = tmp_path / "master"
    (tmp_path / "master.d").mkdir()
    (tmp_path / "master.d" / "more.conf").write_text("timeout: 7\n")
    file.write_text(
        "sock_dir: /run/mine\ninterface: 0.0.0.0\nhash_type: SHA512\nid: 5\nmy_own: {a: 1}\nauto_accept: yes please\n"
    )
    opts = master_config(str(file))
    assert (opts["sock_dir"], opts["timeout"], opts["id"], opts["my_own"]) == ("/run/mine", 7, "5", {"a": 1})
    assert (opts["hash_type"], opts["auto_accept"], opts["transport"]) == ("sha512", False, "zeromq")
    assert (opts["conf_file"], opts["config_dir"], opts["__role"]) == (str(file), str(tmp_path), "master")
    assert opts["token_dir"] == f"{opts['cachedir']}/tokens"
    client = client_config(str(file))
    assert client["interface"] == "127.0.0.1"
    assert client["master_uri"] == f"tcp://127.0.0.1:{client['ret_port']}"


def test_what_is_the_users_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".saltrc").write_text("timeout: 9\n")
    (home / "salt_token").write_text("abc\n")
    opts = client_config("/etc/salt/master")
    assert (opts["timeout"], opts["token"], opts["token_file"]) == (9, "abc", str(home / "salt_token"))
    (home / ".saltrc").write_text("{")
    with pytest.raises(SaltConfigurationError):
        client_config("/etc/salt/master")


def test_which_file_is_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert master_config("/etc/salt/master")["sock_dir"] == "/var/run/sylvite/master"
    for number, folder in enumerate(("sylvite", "etc")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "master").write_text(f"sock_dir: /run/{folder}\n")
        assert master_config("/etc/salt/master")["sock_dir"] == f"/run/{folder}", number
    (tmp_path / "other").write_text("sock_dir: /run/other\n")
    monkeypatch.setenv("SALT_MASTER_CONFIG", str(tmp_path / "other"))
    assert master_config("/etc/salt/master")["sock_dir"] == "/run/other"
    assert client_config("/etc/salt/master")["sock_dir"] == "/run/other"
    assert master_config(None)["sock_dir"] == "/var/run/sylvite/master"


def test_a_minion(tmp_path: Path) -> None:
    file = tmp_path / "minion"
    file.write_text("master: [a, b]\nid: alpha\n")
    opts = minion_config(str(file))
    assert (opts["master"], opts["id"], opts["__role"]) == (["a", "b"], "alpha", "minion")
    assert minion_config(str(file), minion_id="beta")["id"] == "beta"
    assert minion_config(str(tmp_path / "none"))["master"] == "salt"


def test_a_map_in_place_of_a_file() -> None:
    """As the page of Salt has it for Windows, where Salt itself cannot do it."""
    opts = minion_config(DEFAULT_MINION_OPTS)
    assert opts["sock_dir"] == "/var/run/sylvite/minion"
    assert opts["id"] == get_id({}) != ""
    assert minion_config({"id": "x", "sock_dir": "/run/x"})["sock_dir"] == "/run/x"
    assert get_id({"id": "x"}) == "x"


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    file = tmp_path / "master"
    file.write_text("ret_port: many\n")
    with pytest.raises(SaltConfigurationError, match=r"master:1: ret_port: 'many' must be a port"):
        master_config(str(file))
