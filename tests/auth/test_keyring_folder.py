"""The folder of the keys: what is ours alone, and what is not taken."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sylvite.auth import keyring_folder
from sylvite.auth.keyring_folder import (
    FILE_BYTES_MAX,
    KeyFolder,
    keep_pair,
    load_or_make_pair,
    load_pair,
    load_public,
)
from sylvite.auth.keyring_values import KeyringBusy
from sylvite.auth.keys import make_pair
from sylvite.errors import InvalidSetting

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with KeyFolder(tmp_path / "a" / "keys", make=True):
        return tmp_path / "a" / "keys"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_made_is_ours_alone_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    # A umask that takes everything would keep us, who are no root, out of the folder itself.
    umask &= 0o077
    before = os.umask(umask)
    try:
        with KeyFolder(tmp_path / "a" / "keys", make=True) as folder:
            load_or_make_pair(folder, "master")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a" / "keys") == 0o700
    files = list((tmp_path / "a" / "keys").iterdir())
    assert {each.name for each in files} == {"master.key", "master.pub", "lock"}
    assert {mode_of(each) for each in files} == {0o600}


def test_a_pair_is_made_once(path: Path) -> None:
    with KeyFolder(path) as folder:
        pair, made = load_or_make_pair(folder, "master")
        again, made_again = load_or_make_pair(folder, "master")
        assert (made, made_again, again.public) == (True, False, pair.public)
        assert load_pair(folder, "master").public == load_public(folder, "master") == pair.public
        with pytest.raises(InvalidSetting, match="is there already"):
            keep_pair(folder, "master", make_pair())
        assert load_pair(folder, "master").public == pair.public


def test_processes_that_start_at_once_have_one_pair(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sylvite.auth.keyring_folder import *;"
        "folder = KeyFolder(Path(sys.argv[1])); print(load_or_make_pair(folder, 'master')[0].fingerprint)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]  # fmt: skip
    found = {each.communicate(timeout=60)[0] for each in running}
    assert len(found) == 1
    assert len(found.pop()) == 96


@pytest.mark.parametrize("left", ["new", "key", "pub"])
def test_a_crash_while_a_pair_is_made_is_no_harm(left: str, path: Path) -> None:
    """A file that was begun, or one of the two: the next start has a whole pair, and the same one if there was one."""
    with KeyFolder(path) as folder:
        pair = make_pair()
        if left == "new":
            (path / ".master.key.new").write_bytes(pair.pem()[:50])
        elif left == "key":
            keep_pair(folder, "master", pair)
            (path / "master.pub").unlink()
        found, made = load_or_make_pair(folder, "master")
        assert made is (left != "key")
        assert load_public(folder, "master") == found.public
        assert not (path / ".master.key.new").exists()


def spoil_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def spoil_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def spoil_folder(file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (lambda file: file.chmod(0o640), "is open to other users"),
    (lambda file: file.chmod(0o602), "is open to other users"),
    (lambda file: file.with_name("other").hardlink_to(file), "has another name elsewhere"),
    (lambda file: file.write_bytes(b"x" * (FILE_BYTES_MAX + 1)), "has more than"),
    (lambda file: file.write_bytes(b""), "is not a key of ours"),
    (lambda file: file.write_bytes(file.read_bytes()[:-20]), "is not a key of ours"),
    (lambda file: file.write_bytes(b"\xff" * 100), "is not a key of ours"),
    (spoil_link, "cannot be opened"),
    (spoil_pipe, "is no regular file"),
    (spoil_folder, "is no regular file"),
    (lambda file: file.unlink(), "cannot be opened"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
@pytest.mark.parametrize("name", ["master.key", "master.pub"])
def test_a_file_is_used_only_if_it_is_ours_alone_and_whole(
    spoil: Callable[[Path], object], message: str, name: str, path: Path
) -> None:
    """And the message names it."""
    with KeyFolder(path) as folder:
        load_or_make_pair(folder, "master")
        load = load_pair if name == "master.key" else load_public
        load(folder, "master")
        spoil(path / name)
        with pytest.raises(InvalidSetting, match=message) as caught:
            load(folder, "master")
    assert str(path / name) in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


@ROOT
def test_a_file_or_folder_of_somebody_else_is_not_used(path: Path) -> None:
    with KeyFolder(path) as folder:
        load_or_make_pair(folder, "master")
        os.chown(path / "master.key", 65_534, -1)
        with pytest.raises(InvalidSetting, match="belongs to nobody"):
            load_pair(folder, "master")
    os.chown(path, 54_321, -1)
    with pytest.raises(InvalidSetting, match="belongs to uid 54321, and not to you"):
        KeyFolder(path)


def test_a_folder_is_used_only_if_it_is_ours_alone(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="is not there; `sylvite keys gen`"):
        KeyFolder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(path)
    for name in ("file", "link"):
        with pytest.raises(InvalidSetting, match="cannot be opened as a folder"):
            KeyFolder(tmp_path / name)
    for mode in (0o750, 0o701, 0o777):
        path.chmod(mode)
        with pytest.raises(InvalidSetting, match="open to other users"):
            KeyFolder(path)


def test_a_lock_that_is_not_ours_is_not_taken(path: Path, tmp_path: Path) -> None:
    """Where somebody planted a link, the file that it leads to is neither made nor locked."""
    (path / "lock").symlink_to(tmp_path / "victim")
    with KeyFolder(path) as folder, pytest.raises(InvalidSetting, match="cannot be opened"):
        load_or_make_pair(folder, "master")
    assert not (tmp_path / "victim").exists()


def test_a_lock_is_not_waited_for_without_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has it may be stopped; it is free with its death."""
    program = (
        "import sys; from pathlib import Path; from sylvite.auth.keyring_folder import *\n"
        "with KeyFolder(Path(sys.argv[1])).locked('announcing.lock'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr(keyring_folder, "LOCKED_WITHIN_S", 0.1)
        with KeyFolder(path) as folder:
            with folder.locked():
                pass  # Another lock is not concerned.
            with pytest.raises(KeyringBusy, match=r"announcing\.lock; try again"), folder.locked("announcing.lock"):
                pass
            holder.kill()
            holder.communicate()
            with folder.locked("announcing.lock"):
                pass
    finally:
        holder.kill()
        holder.communicate()


def test_a_public_key_without_its_private_one_is_not_replaced(path: Path) -> None:
    with KeyFolder(path) as folder:
        load_or_make_pair(folder, "master")
        (path / "master.key").unlink()
        with pytest.raises(InvalidSetting, match="is of another key"):
            load_or_make_pair(folder, "master")
        assert not (path / "master.key").exists()
