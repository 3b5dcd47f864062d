"""`sylvite tokens`: in whose folder they are, and what is said of mistakes."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from sylvite.api.eauth import Eauth
from sylvite.api.settings import ApiSettings
from sylvite.api.tokens import NAME
from sylvite.cli.main import main
from sylvite.errors import NotAuthenticated


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SYLVITE_DIR", "SYLVITE_SOCKET", "SYLVITE_MASTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYLVITE_CONFIG_DIR", str(tmp_path / "conf"))


def create(*more: str) -> int:
    return main(["-q", "tokens", "create", "alice", "-s", "events:read:a/**", *more])


def test_they_are_the_master_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the interface that runs as a part of that master knows them."""
    for name in ("conf", "own", "named", "given"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "conf" / "master").write_text(f"data_dir: {tmp_path / 'own'}\n")
    assert create() == 0
    monkeypatch.setenv("SYLVITE_DIR", str(tmp_path / "named"))
    assert create() == 0
    assert create("--dir", str(tmp_path / "given")) == 0
    assert [(tmp_path / name / NAME).exists() for name in ("own", "named", "given")] == [True, True, True]


def test_they_are_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--dir", str(tmp_path))
    assert main(["tokens", "list", *place]) == 0
    assert "`sylvite tokens create` makes one" in capsys.readouterr().err
    assert create(*place) == 0
    capsys.readouterr()
    assert main(["tokens", "list", *place]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["ID", "OWNER", "UNTIL", "LAST", "USED", "SCOPES"]
    id_, owner, *_, used, scopes = line.split()
    assert (owner, used, scopes) == ("alice", "never", "events:read:a/**")
    assert main(["tokens", "revoke", id_, *place]) == 0
    assert main(["tokens", "revoke", id_, *place]) == 1
    assert f"there is no token '{id_}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["alice"], 2, "Missing option '-s'"),
        (["alice", "-s", "events:read"], 2, "a pattern of tags belongs behind it"),
        (["alice", "-s", "event:read:a"], 2, "there are events:read"),
        (["a b", "-s", "status:read"], 2, "a token needs an owner"),
        (["alice", "-s", "status:read", "--expires", "10y"], 2, "10y"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str) -> None:
    assert main(["tokens", "create", *words, "--dir", str(tmp_path)]) == code
    assert said in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert create("--dir", str(tmp_path / "none")) == 78
    assert "is no folder; say with --dir where" in capsys.readouterr().err


def test_the_line_of_a_user_lets_him_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nmore\n"))
    assert main(["tokens", "password", "alice"]) == 0
    users = tmp_path / "users"
    users.write_text(capsys.readouterr().out)
    users.chmod(0o600)
    assert "correct" not in users.read_text()
    settings = ApiSettings(external_auth={"file": {"^filename": str(users), "alice": [".*"]}})

    def log_in(password: str) -> str:
        said = {"username": "alice", "password": password, "eauth": "file"}
        return asyncio.run(Eauth(settings).check(said, "192.0.2.1")).name

    assert log_in("correct horse") == "alice"
    with pytest.raises(NotAuthenticated):
        log_in("correct horse\n")


@pytest.mark.parametrize(("name", "said"), [("a:b", "has no colon"), ("", "has no colon"), ("alice", "1 to 1024")])
def test_no_line_of_what_cannot_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["tokens", "password", name]) == 2
    assert said in capsys.readouterr().err
