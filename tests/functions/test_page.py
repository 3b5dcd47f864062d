"""The tables of docs/functions.md, against the code."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sylvite.cli.outputters import OUTPUTTERS
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.functions import given
from sylvite.functions.arguments import parse_value
from sylvite.functions.library import Library
from sylvite.functions.program import OUTPUT_BYTES_MAX
from tests.docs.blocks import PROJECT, table_under
from tests.functions.conftest import MakeLibrary

PAGE = PROJECT / "docs" / "functions.md"


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_arguments_mean_what_the_table_says() -> None:
    rows = table_under(PAGE, "Arguments")
    assert len(rows) > 10
    for typed, meant in rows:
        assert repr(parse_value(words(typed)[0])) == words(meant)[0], typed


def test_options_that_functions_look_at_are_options() -> None:
    shown = {words(row[0])[0]: words(row[1]) for row in table_under(PAGE, "Configuration")}
    names = {
        kind: {field.encode_name for field in msgspec.structs.fields(options)}
        for kind, options in (("master", MasterOptions), ("minion", MinionOptions))
    }
    for name, kinds in shown.items():
        assert kinds == [kind for kind in ("master", "minion") if name in names[kind]], name


def names_in(header: str) -> dict[str, set[str]]:
    """Return the functions by module, of the table with that header."""
    rest = PAGE.read_text().partition(f"\n| {header} | functions |\n|---|---|\n")[2]
    rows = rest[: rest.index("\n\n")].splitlines()
    return {words(name)[0]: set(words(functions)) for name, functions in (row.strip("|").split("|") for row in rows)}


def by_module(functions: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in functions:
        module, _, function = name.partition(".")
        found.setdefault(module, set()).add(function)
    return found


def test_every_function_is_listed(make_library: MakeLibrary) -> None:
    library: Library = make_library(enable_modules=("cmd",))
    assert names_in("module") == by_module(library.execution)
    assert names_in("module of runners") == by_module(library.runners)
    assert names_in("module of wheel functions") == by_module(library.wheel)


def test_names_that_a_module_finds(library: Library) -> None:
    """Those of the table are given, and have their types in given.py."""
    shown = {words(row[0])[0] for row in table_under(PAGE, "Your own")}
    assert shown <= set(library.execution.given)
    assert set(library.execution.given) <= set(vars(given))


def test_outputters_and_limits() -> None:
    content = PAGE.read_text()
    listed = re.search(r"`--out` chooses the form: ([^;]+);", content)
    assert listed is not None
    assert tuple(words(listed[1])) == OUTPUTTERS
    assert f"more than {OUTPUT_BYTES_MAX // 1024**2} MiB" in content
