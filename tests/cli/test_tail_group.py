"""What `sylvite tail --group` does not take; what it does, tests/cluster/test_groups.py has."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.cli import exit_codes
from sylvite.cli.main import main


@pytest.mark.parametrize(
    "words", [("-n", "3"), ("--since", "2h"), ("--until", "today"), ("--count", "1"), ("--from", "@3"), ("--from", "cursor:a")]
)  # fmt: skip
def test_where_to_begin_is_not_said(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tail", "--group", "billing", *words]) == exit_codes.USAGE
    assert "--group goes on where the group is" in capsys.readouterr().err


def test_a_master_that_is_alone_has_no_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "master"
    file.write_text("id: mars\n")
    file.chmod(0o600)
    assert main(["tail", "--group", "billing", "--config", str(file)]) == 78
    assert "says nothing of a cluster" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--group", "no name"), 78, "must be 1 to 80 letters"),
        (("--group", "a", "--where", "data.("), exit_codes.USAGE, "data.("),
        ((), exit_codes.USAGE, "--config goes with --group"),
    ],
)
def test_what_cannot_be_is_said_before_anybody_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    file = tmp_path / "master"
    file.write_text("id: mars\ncluster: nats://127.0.0.1:1\n")
    file.chmod(0o600)
    assert main(["tail", *words, "--config", str(file)]) == code
    assert message in capsys.readouterr().err


def test_servers_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "master"
    file.write_text("id: mars\ncluster: nats://127.0.0.1:1\n")
    file.chmod(0o600)
    assert main(["tail", "--group", "billing", "--config", str(file)]) == 69
    assert "cannot be used" in capsys.readouterr().err
