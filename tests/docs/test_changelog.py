"""The changelog is built from changes/."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import PROJECT

DAY = dt.date(2026, 11, 24)


def load() -> Any:
    """Return packaging/changelog.py, which is in no package."""
    found = importlib.util.spec_from_file_location("changelog", PROJECT / "packaging" / "changelog.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_changes_become_a_section_before_the_older_ones(tmp_path: Path) -> None:
    changelog = load()
    (tmp_path / "changes").mkdir()
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\nFor users.\n\n{changelog.EMPTY}")
    (tmp_path / "changes" / "7.fix.md").write_text("It is\nmended.\n")
    (tmp_path / "changes" / "2.feature.md").write_text("The bus.\n")
    changelog.main(tmp_path, "0.1.0", DAY)
    first = "## 0.1.0 (2026-11-24)\n\n### New\n\n- The bus. (#2)\n\n### Fixed\n\n- It is mended. (#7)\n"
    assert (tmp_path / "CHANGELOG.md").read_text() == f"# Changelog\n\nFor users.\n\n{first}"
    assert not list((tmp_path / "changes").iterdir())

    (tmp_path / "changes" / "10.some-name.change.md").write_text("Otherwise.\n")
    changelog.main(tmp_path, "0.2.0", DAY)
    second = "## 0.2.0 (2026-11-24)\n\n### Changed\n\n- Otherwise. (#10)\n"
    assert (tmp_path / "CHANGELOG.md").read_text() == f"# Changelog\n\nFor users.\n\n{second}\n{first}"


def test_a_file_with_another_name_changes_nothing(tmp_path: Path) -> None:
    changelog = load()
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "new.md").write_text("?\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    with pytest.raises(ValueError, match="NUMBER"):
        changelog.main(tmp_path, "0.1.0", DAY)
    assert (tmp_path / "CHANGELOG.md").read_text() == "# Changelog\n"


def test_the_changes_that_there_are_can_be_joined() -> None:
    assert load().section("0.0.0", DAY, sorted((PROJECT / "changes").glob("*.md"))).startswith("## 0.0.0")
