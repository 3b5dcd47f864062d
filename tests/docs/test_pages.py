"""Every page: what stands in it as code, runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sylvite.cli.main import COMMANDS
from tests.docs.blocks import PROJECT, blocks, pages
from tests.docs.session import WITHIN_S, Session, at_most

RUNNABLE = ("console", "python", "output", "yaml")
ELSEWHERE = {
    "sh": "commands of make: test_commands_of_make",
    "ini": "parts of unit files: test_units.py",
    "salt-programs": "Salt's command lines: tests/compat/test_programs.py",
    "salt": "Python with Salt's names: tests/compat/test_snippets.py",
    "curl": "commands of curl: tests/api/test_page.py",
    "text": "no code",
}
GENERATED = "docs/benchmarks.md"
"""`make bench` writes it."""
WITH_MORE = {"jobs.md": "with a master and its minions: tests/jobs/test_page.py"}
"""Pages that need more than a broker, and where they are played."""
WITH_CODE = [
    page for page in pages() if page.name not in WITH_MORE and any(block.kind in RUNNABLE for block in blocks(page))
]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_shows_happens(
    page: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first block to its last, in one folder with one broker."""
    with Session(tmp_path_factory.mktemp("page"), monkeypatch) as session:
        for block in blocks(page):
            if block.kind in RUNNABLE:
                session.play(block)
        with at_most(WITHIN_S):
            session.finish()


def test_no_block_is_left_out() -> None:
    for page in pages():
        for block in blocks(page):
            assert block.kind in RUNNABLE or block.kind in ELSEWHERE, f"{block.place}: a block of {block.kind!r}"


def test_commands_of_make() -> None:
    """A block of `sh` holds calls of make and of our own scripts, which are there."""
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        for block in blocks(page):
            if block.kind == "sh":
                for line in block.text.splitlines():
                    program, *rest = line.partition("#")[0].split()
                    if program == "make":
                        assert set(rest) <= targets, f"{block.place}: {line}"
                    elif (
                        program == "sylvite"
                    ):  # On two machines: tests/daemons/test_master_and_minion.py goes this way.
                        command = next(word for word in rest if word in COMMANDS or not word.startswith(("-", "/")))
                        assert command in COMMANDS, f"{block.place}: {line}"
                    else:
                        assert (program, (PROJECT / rest[0]).exists()) == ("python", True), f"{block.place}: {line}"


def test_links_lead_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
            found = page.parent / target
            assert found.exists() or found == PROJECT / GENERATED, f"{page.relative_to(PROJECT)}: {target}"


def test_links_into_a_page_name_a_heading_of_it() -> None:
    for page in pages():
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([\w-]+)\)", page.read_text()):
            content = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.*)$", content, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


def test_pages_that_are_named_are_there() -> None:
    """In the pages, in the code and in the tests."""
    sources = [*pages(), *PROJECT.glob("src/**/*.py"), *PROJECT.glob("tests/**/*.py")]
    for source in sources:
        for name in re.findall(r"\bdocs/[\w/-]+\.md\b", source.read_text()):
            assert name == GENERATED or (PROJECT / name).exists(), f"{source.relative_to(PROJECT)} names {name}"


def test_files_that_are_named_are_there() -> None:
    """Such as `core/batch.py`, below src/sylvite or the project."""
    for page in pages():
        for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|md))`", page.read_text()):
            places = (PROJECT / name, PROJECT / "src" / "sylvite" / name)
            assert any(place.exists() for place in places), f"{page.name}: {name}"
