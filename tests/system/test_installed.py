"""The product as it is installed: the wheel and what it depends on, no extras, nothing of ours from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXTRAS = ("uvloop",)


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300, check=False,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with only what the wheel asks for."""
    folder = tmp_path_factory.mktemp("installed")
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    run(*build)
    (wheel,) = folder.glob("sylvite-*.whl")
    venv.create(folder / "env", with_pip=False)
    programs = folder / "env" / "bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    install = (*pip, "install", "--quiet", "--no-compile")
    run(*install, "--require-hashes", "-r", ROOT / "requirements" / "run.lock")
    run(*pip, "uninstall", "--quiet", "--yes", *EXTRAS)
    run(*install, "--no-deps", wheel)
    run(*pip, "check")
    return programs


def test_every_command_has_its_help(installed: Path) -> None:
    shown = run(installed / "sylvite", "--help")
    for command in ("publish", "tail", "get", "wait", "broker", "log", "cursors", "status", "doctor", "completion"):
        assert command in shown
        assert run(installed / "sylvite", command, "--help").startswith(f"Usage: sylvite {command}")


def test_an_event_goes_through_without_extras(installed: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    socket = str(tmp_path / "bus.sock")
    with subprocess.Popen(
        [installed / "sylvite", "broker", "--dir", tmp_path, "--ready-fd", str(writing)], pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    ) as broker:  # fmt: skip
        os.close(writing)
        try:
            with os.fdopen(reading) as ready:
                assert ready.readline() == "ready\n"
            assert run(installed / "sylvite", "publish", "myco/a", "n=1", SYLVITE_SOCKET=socket) == "@0\n"
            assert "myco/a  n=1" in run(installed / "sylvite", "tail", SYLVITE_SOCKET=socket)
            script = "import asyncio, sylvite\nasync def main():\n    async with sylvite.AsyncClient.connect() as bus:\n        print((await bus.get(0)).tag)\nasyncio.run(main())\n"
            assert run(installed / "python", "-c", script, SYLVITE_SOCKET=socket) == "myco/a\n"
        finally:
            broker.terminate()


def test_the_types_are_shipped(installed: Path) -> None:
    where = run(installed / "python", "-c", "import sylvite; print(sylvite.__file__)").strip()
    assert Path(where).with_name("py.typed").exists()
    assert ROOT not in Path(where).parents
