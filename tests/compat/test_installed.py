"""The distribution sylvite-salt as it is installed: beside sylvite, with its programs; and refusing to be beside Salt."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from sylvite.testing.broker import BrokerProcess
from tests.compat.places import ROOT, SHIM

WITHIN_S = 300.0


def run(*command: str | Path, **environment: str) -> str:
    dropped = ("PYTHON", "SALT_", "SYLVITE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=WITHIN_S, check=False, env={**kept, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has both wheels, and finds the rest in ours."""
    folder = tmp_path_factory.mktemp("installed")
    for project in (ROOT, ROOT / "compat"):
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, project)
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (ours,) = (Path(sys.prefix) / "lib").glob("python*/site-packages")
    (site / "what-sylvite-needs.pth").write_text(f"{ours}\n")
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        *folder.glob("*.whl"),
    )
    return python.parent


def test_the_page_runs_in_it(programs: Path, tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker:
        (tmp_path / "master").write_text(f"sock_dir: {broker.folder}\n")
        source = "import salt.config, salt.utils.event\nopts = salt.config.client_config('/etc/salt/master')\nwith salt.utils.event.get_event('master', opts=opts) as event:\n    event.fire_event({'n': 1}, 'a/b')\n    print(salt.__file__, event.get_event(full=True)['tag'])\n"
        where, tag = run(programs / "python", "-c", source, SALT_MASTER_CONFIG=str(tmp_path / "master")).split()
        assert tag == "a/b"
        assert ROOT not in Path(where).parents
        assert (
            run(programs / "salt-run", "event.send", "a/c", "{n: 1}", SALT_MASTER_CONFIG=str(tmp_path / "master"))
            == "True\n"
        )


@pytest.mark.parametrize(
    "name", ["salt", "salt-api", "salt-call", "salt-cloud", "salt-key", "salt-master", "salt-minion", "salt-run"]
)
def test_every_program_is_there(programs: Path, name: str) -> None:
    assert run(programs / name, "--version").startswith(f"{name} 3008.3 (Sylvite ")


def test_it_refuses_to_be_beside_salt(tmp_path: Path) -> None:
    (tmp_path / "salt-3008.3.dist-info").mkdir()
    refused = subprocess.run(
        [sys.executable, "-c", "import salt"], capture_output=True, text=True, timeout=WITHIN_S, check=False,
        env={**os.environ, "PYTHONPATH": f"{SHIM}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert refused.returncode == 1
    assert f"both in this environment ({tmp_path / 'salt-3008.3.dist-info'})" in refused.stderr
