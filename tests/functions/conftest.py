"""Fixtures: a folder for modules, and a library over it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sylvite.functions.context import Context
from sylvite.functions.library import Library
from sylvite.testing.bus import Bus

GRAINS: dict[str, Any] = {"id": "alpha", "os": "Debian", "ip4_interfaces": {"lo": ["127.0.0.1"]}}

Write = Callable[[str, str], Path]
MakeLibrary = Callable[..., Library]


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below `modules` or `runners`, as its operator would: nobody else may."""

    def write_module(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))
        path.chmod(0o644)
        path.parent.chmod(0o755)
        return path

    return write_module


@pytest.fixture
def make_library(tmp_path: Path, bus: Bus) -> MakeLibrary:
    def make(
        *, publication: dict[str, Any] | None = None, pillar: dict[str, Any] | None = None, **settings: Any
    ) -> Library:
        usual: dict[str, Any] = {
            "file_client": "local",
            "module_dirs": [str(tmp_path / "modules")],
            "runner_dirs": [str(tmp_path / "runners")],
            "wheel_dirs": [str(tmp_path / "wheel")],
            "config_dir": str(tmp_path),
        }
        opts = {**usual, **settings}
        return Library(Context(opts, GRAINS, bus, pillar or {}, publication or {}))

    return make


@pytest.fixture
def library(make_library: MakeLibrary) -> Library:
    return make_library()
