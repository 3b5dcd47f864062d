"""The page of the benchmarks: each part writes its own sections."""

from __future__ import annotations

import re

from bench.sections import HEADINGS, PAGE, PARTS, with_sections
from tests.docs.blocks import PROJECT

FOUND = "## What was found\n\nmore\n"


def test_a_section_takes_the_place_of_the_one_with_its_heading() -> None:
    page = with_sections("", ["## Jobs\n\nold\n\n### In part\n\nx\n", "## The bus\n\nfast\n"], FOUND)
    changed = with_sections(page, ["## Jobs\n\nnew\n"], FOUND)
    assert re.findall(r"^#+ .*", changed, re.MULTILINE) == [
        "# Benchmarks",
        "## The bus",
        "## Jobs",
        "## What was found",
    ]
    assert "\n\nnew\n\n## What was found\n\nmore\n" in changed
    assert "old" not in changed


def test_writing_nothing_changes_nothing() -> None:
    page = with_sections("", ["## Jobs\n\nfigures\n"], FOUND)
    assert with_sections(page, [], FOUND) == page


def test_the_page_is_as_the_parts_leave_it() -> None:
    """Nobody has written into it by hand, but for its figures."""
    assert with_sections(PAGE.read_text(), [], (PROJECT / "bench" / "findings.md").read_text()) == PAGE.read_text()


def test_every_part_runs_in_make_bench() -> None:
    (named,) = re.findall(r"^BENCHES := (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert named.split() == [part.module for part in PARTS]
    assert len(set(HEADINGS)) == len(HEADINGS)
