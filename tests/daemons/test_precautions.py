"""What a broker looks at before it starts.  As root, with real processes: tests/faults/test_start_check.py."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sylvite.daemons.precautions import check_file, secure_folder
from sylvite.errors import InvalidSetting


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    secure_folder(tmp_path / "a" / ".." / "b" / "c", "folder")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "b", tmp_path / "b" / "c")] == [0o700, 0o700]


def test_who_starts_beside_us_may_make_a_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = os.mkdir

    def make_as_both(path: str, mode: int) -> None:
        make(path, mode)
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", make_as_both)
    secure_folder(tmp_path / "a" / "b", "folder")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_relative_folder_is_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secure_folder(Path("bus"), "folder")
    secure_folder(Path(), "folder")
    assert (tmp_path / "bus").is_dir()


def test_links_are_followed_and_what_is_behind_them_looked_at(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("open")
    (tmp_path / "other").symlink_to(tmp_path / "closed")
    secure_folder(tmp_path / "other" / "bus", "folder")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(InvalidSetting, match=f"others may write to {tmp_path}/open"):
        secure_folder(tmp_path / "link" / "bus", "folder")
    assert not (tmp_path / "open" / "bus").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "bus"):
        with pytest.raises(InvalidSetting, match="is no folder"):
            secure_folder(path, "folder")


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "broker.yaml"
    config.write_text("{}")
    check_file(config, "config")
    config.chmod(0o666)
    with pytest.raises(InvalidSetting, match="others may write"):
        check_file(config, "config")
    with pytest.raises(InvalidSetting, match="cannot be read"):
        check_file(tmp_path / "none", "config")


def test_a_pipe_is_trusted_as_who_started_us(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        check_file(Path(f"/dev/fd/{reading}"), "config")
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_with_a_whole_path_needs_no_folder_to_be_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a program whose folder was removed beneath it."""
    file, gone = tmp_path / "file", tmp_path / "gone"
    file.touch(0o600)
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    check_file(file, "config")
