"""`salt-api` of npm, as it comes from there: it works with ours unchanged.  `make test` installs it (.node)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.rest import SECRET, Rest

HERE = Path(__file__).with_name("node")
INSTALLED = Path(__file__).parents[2] / ".node" / "node_modules"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="there is no node on this machine, and `make test` may not install it")
def test_it_logs_in_listens_and_runs_functions(rest: Rest) -> None:
    assert NODE is not None
    assert INSTALLED.is_dir(), "run `make .node/ready` first"
    ended = subprocess.run(
        [NODE, str(HERE / "client.js"), f"http://127.0.0.1:{rest.port}", "saltdev", SECRET],
        env={**os.environ, "NODE_PATH": str(INSTALLED)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["ping"] == {"return": [{"minion-0042": True}]}
    assert found["echo"] == {"return": [{"minion-0042": "a word"}]}
    assert list(found["minions"]["return"][0]) == ["minion-0042"]
    assert found["one"]["return"][0]["minion-0042"]["id"] == "minion-0042"
    assert found["heard"]["data"]["return"] == "a word"
    assert found["jid"] in found["jobs"]["return"][0]
    assert found["job"]["info"][0]["Result"]["minion-0042"]["return"] == "a word"
