"""Modules that others could have written are not run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sylvite.functions import sources
from sylvite.functions.errors import ModuleNotLoaded
from sylvite.functions.library import Library
from sylvite.functions.sources import list_sources, read_source
from tests.functions.conftest import Write

RAN = "open({!r}, 'w').close()\ndef f(): return 1"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_a_file_that_others_may_write_is_not_run(write: Write, library: Library, tmp_path: Path, mode: int) -> None:
    """It says which one, and what to do; mended, it is there."""
    ran = tmp_path / "ran"
    path = write("modules/mine.py", RAN.format(str(ran)))
    path.chmod(mode)
    library.execution.refresh()
    reason = library.execution.not_loaded["mine"]
    assert reason == f"{path} is not safe: others may write to {path}; `chmod go-w` it"
    assert not ran.exists()
    path.chmod(0o644)
    assert library.execution.find("mine.f")() == 1


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_folder_that_others_may_write_is_no_place_for_modules(write: Write, depth: int) -> None:
    """Also where it is further up: who may write there can put another folder in its place."""
    path = write("a/b/modules/mine.py", "def f(): return 1")
    folder = path.parents[depth]
    folder.chmod(0o777)
    with pytest.raises(ModuleNotLoaded, match="others may write to"):
        read_source(path)
    folder.chmod(0o1777)
    assert read_source(path)
    folder.chmod(0o755)


def test_a_link_is_followed_to_where_it_leads(write: Write, tmp_path: Path) -> None:
    path = write("elsewhere/mine.py", "def f(): return 1")
    link = tmp_path / "link.py"
    link.symlink_to(path)
    assert read_source(link)
    path.parent.chmod(0o777)
    with pytest.raises(ModuleNotLoaded, match="others may write to"):
        read_source(link)
    path.parent.chmod(0o755)


def test_a_file_of_somebody_else_is_not_run(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a process of another user than the file's."""
    path = write("modules/mine.py", "def f(): return 1")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ModuleNotLoaded, match=r"belongs to uid \d+, who could change it"):
        read_source(path)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would make us wait for ever."""
    os.mkfifo(tmp_path / "pipe.py", 0o644)
    with pytest.raises(ModuleNotLoaded, match="is no file"):
        read_source(tmp_path / "pipe.py")
    with pytest.raises(ModuleNotLoaded, match="cannot be read: No such file"):
        read_source(tmp_path / "none.py")


def test_a_file_has_a_size_that_is_enough(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("modules/mine.py", "#" * 100)
    monkeypatch.setattr(sources, "SOURCE_BYTES_MAX", 100)
    assert len(read_source(path)) == 100
    path.write_text("#" * 101)
    with pytest.raises(ModuleNotLoaded, match="more than 100 bytes"):
        read_source(path)


def test_bytecode_that_lies_there_is_not_used(write: Write, library: Library, tmp_path: Path) -> None:
    """`__pycache__` may be anybody's, and none is written."""
    write("modules/mine.py", "def f(): return 1")
    assert library.execution.find("mine.f")() == 1
    assert [path.name for path in (tmp_path / "modules").iterdir()] == ["mine.py"]


def test_names_that_are_no_modules(tmp_path: Path, write: Write) -> None:
    for name in ("__init__.py", "_private.py", "a-b.py", "a.b.py", "text.txt", ".py", "py"):
        write(f"modules/{name}", "")
    write("modules/good.py", "")
    assert [source.name for source in list_sources(tmp_path / "modules", own=False)] == ["good"]
    assert list_sources(tmp_path / "none", own=False) == []
