"""pepper, the command line for Salt's API, as it comes from PyPI: it works with ours unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.rest import SECRET, Rest

PEPPER = Path(sys.executable).with_name("pepper")


def pepper(rest: Rest, home: Path, *words: str) -> Any:
    ended = subprocess.run(
        [sys.executable, str(PEPPER), *words],
        env={
            **os.environ, "HOME": str(home), "SALTAPI_URL": f"http://127.0.0.1:{rest.port}/", "SALTAPI_USER": "saltdev",
            "SALTAPI_PASS": SECRET, "SALTAPI_EAUTH": "sharedsecret",
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return json.loads(ended.stdout)


def test_functions_on_minions(rest: Rest, tmp_path: Path) -> None:
    (found,) = pepper(rest, tmp_path, "*", "test.ping")["return"]
    assert (found["minion-0042"]["ret"], found["minion-0042"]["retcode"]) == (True, 0)
    assert pepper(rest, tmp_path, "--fail-if-incomplete", "*", "test.ping") == [{"minion-0042": True}]
    (found,) = pepper(rest, tmp_path, "--client=local_batch", "--batch", "50%", "*", "test.ping")["return"]
    assert found["minion-0042"]["ret"] is True
    (found,) = pepper(rest, tmp_path, "-L", "minion-0042", "test.echo", "3")["return"]
    assert found["minion-0042"]["ret"] == 3


def test_functions_of_the_master(rest: Rest, tmp_path: Path) -> None:
    (found,) = pepper(rest, tmp_path, "--client", "wheel", "key.list_all")["return"]
    assert found["data"]["return"]["minions"] == ["minion-0042"]
    (found,) = pepper(rest, tmp_path, "--client", "runner", "event.send", "tag=my/tag")["return"]
    assert found["data"]["return"] is True
    (found,) = pepper(rest, tmp_path, "--client", "runner", "jobs.list_jobs")["return"]
    assert isinstance(found["data"]["return"], dict)


@pytest.mark.parametrize("more", [("-r",), ("-T",)])
def test_with_a_token(rest: Rest, tmp_path: Path, more: tuple[str, ...]) -> None:
    for _ in range(2):
        (found,) = pepper(rest, tmp_path, *more, "*", "test.ping")["return"]
        assert found["minion-0042"]["ret"] is True
