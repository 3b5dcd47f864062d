"""docs/http.md: its commands are played, and its tables held against the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sylvite.api.app import ENTRIES
from sylvite.api.parameters import LIMIT_MAX
from sylvite.api.streaming import HEARTBEAT_S, STALL_S
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import WITHIN_S, Api
from tests.docs.blocks import PROJECT, blocks, commands, table_under
from tests.docs.session import masked

PAGE = PROJECT / "docs" / "http.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples of docs/http.md are curl's, which is not installed")
def test_what_the_page_shows_happens(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        script: list[str] = []
        shown: list[str] = []
        for block in blocks(PAGE):
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
    assert sorted(shown) == sorted((f"{entry.method} {entry.path}", entry.scope or "none") for entry in ENTRIES)


def test_figures() -> None:
    text = PAGE.read_text()
    assert f"up to {LIMIT_MAX} events" in text
    assert f"nothing for {HEARTBEAT_S:g} s" in text
    assert STALL_S == 60
