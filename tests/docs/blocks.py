"""Blocks: the fenced pieces of a Markdown page, by the word behind the fence.

console     commands behind `$ `, each followed by what it prints
console live    one command that runs on; after the next console block it gets Ctrl-C, and what it has printed,
                before and behind `^C`, is compared
python      a program; the names it makes are there in the next one
python pytest   a file of tests for pytest
output      what the block before it printed
yaml NAME   a configuration file, written to NAME and read as the broker reads it; `master`, `minion` and files
            in `master.d/` and `minion.d/` as these read them
ini NAME    a unit file, or a part of one, that stands in packaging/systemd/NAME
curl        as console, with an HTTP interface beside the broker
sh          commands that are not run here, and why stands beside them in test_pages.py
text        a picture or a layout: no code
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
_fence = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """`line`: of the page, for messages."""

    page: str
    line: int
    kind: str
    argument: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """A line for a shell, and what is shown below it."""

    line: str
    shown: str


def pages() -> list[Path]:
    """Return every page of the project."""
    return sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("packaging/**/*.md")])


def blocks(page: Path) -> Iterator[Block]:
    content = page.read_text()
    for found in _fence.finditer(content):
        kind, _, argument = found["info"].strip().partition(" ")
        line = content.count("\n", 0, found.start()) + 1
        yield Block(str(page.relative_to(PROJECT)), line, kind, argument, found["text"])


def commands(block: Block) -> list[Command]:
    """Cut a console block at its prompts; a line that begins with `> ` goes on with the command above it."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], ""))
        elif line.startswith("> ") and found and not found[-1].shown:
            found[-1] = Command(f"{found[-1].line}\n{line[2:]}", "")
        else:
            assert found, f"{block.place}: a console block begins with a prompt"
            found[-1] = Command(found[-1].line, f"{found[-1].shown}{line}\n")
    return found


def tables(page: Path) -> Iterator[list[list[str]]]:
    """Yield each table as rows of cells, without its header."""
    rows: list[list[str]] = []
    for line in [*page.read_text().splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            yield rows[2:]
            rows = []


def table_under(page: Path, heading: str) -> list[list[str]]:
    """Return the first table behind a heading."""
    content = page.read_text()
    start = re.search(rf"^#+ {re.escape(heading)}$", content, re.MULTILINE)
    assert start is not None, f"{page.name} has no heading {heading!r}"
    rest = [line.strip() for line in content[start.end() :].splitlines()]
    first = next(index for index, line in enumerate(rest) if line.startswith("|"))
    rows: list[list[str]] = []
    for line in rest[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows[2:]
