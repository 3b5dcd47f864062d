"""docs/http.md: its commands are played, and its tables held against the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import msgspec
import pytest

from sylvite.api.parameters import LIMIT_MAX
from sylvite.api.salt.entries import SaltApi
from sylvite.api.service import Service
from sylvite.api.settings import BACKENDS, ApiSettings
from sylvite.api.streaming import HEARTBEAT_S, STALL_S
from sylvite.api.verb_table import NATIVE
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.jobs.client_core import MasterPlace
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import WITHIN_S, Api
from tests.docs.blocks import PROJECT, blocks, commands, table_under
from tests.docs.session import masked

PAGE = PROJECT / "docs" / "http.md"
SALT_PAGE = PROJECT / "docs" / "salt-rest.md"


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="the examples of docs/http.md are curl's, which is not installed"
)
@pytest.mark.parametrize("page", [PAGE, SALT_PAGE], ids=lambda page: page.name)
def test_what_the_page_shows_happens(tmp_path: Path, page: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        script: list[str] = []
        shown: list[str] = []
        for block in blocks(page):
            if block.kind == "curl":
                for command, output in commands(block):
                    script.append(f"{command}; echo; echo '== next'")
                    shown.append(output)
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        printed = subprocess.run(
            ["bash", "-c", "\n".join(script).replace("127.0.0.1:8000", f"127.0.0.1:{api.port}")],
            cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=2 * WITHIN_S, check=True,
        ).stdout  # fmt: skip
    for command, expected, got in zip(script, shown, printed.split("== next\n"), strict=False):
        assert _still(got) == _still(expected), command


def _still(text: str) -> str:
    return re.sub(r"EPOCH\.\d+|[0-9a-f]{16}/\d+", "ID", masked(text))


def test_the_table_of_entries_is_the_one_of_the_code() -> None:
    shown = [(first.strip("`"), scope.strip("`")) for first, scope, _ in table_under(PAGE, "Entries")]
    assert sorted(shown) == sorted((f"{method} {path}", scope or "none") for method, path, scope, *_ in NATIVE)


def test_the_tables_of_salt_s_api_are_those_of_the_code() -> None:
    settings = ApiSettings()
    entries = SaltApi(cast("Service", Mock()), settings, MasterPlace()).entries()
    shown = [(first.strip("`"), needs) for first, needs, _ in table_under(SALT_PAGE, "Entries")]
    assert sorted(shown) == sorted((f"{entry.method} {entry.path}", entry.scope or "none") for entry in entries)
    names = [name for row in table_under(SALT_PAGE, "Options") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(names) == sorted(field.name for field in msgspec.structs.fields(RestCherrypy))
    backends = [row[0].strip("`") for row in table_under(SALT_PAGE, "Who may do what")]
    assert sorted(backends) == sorted(BACKENDS)


def test_figures() -> None:
    text = PAGE.read_text()
    assert f"up to {LIMIT_MAX} events" in text
    assert f"nothing for {HEARTBEAT_S:g} s" in text
    assert STALL_S == 60
