"""`sylvite cluster`: servers for a first cluster, and what is to be said of any."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.cli.exit_codes import CONFIGURATION, NO, NOT_ALLOWED, NOT_REACHABLE, USAGE
from tests.cli.program import Program, read_line

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("cluster")
    made = Program(folder / "bus.sock", folder)
    made.environment["SYLVITE_CONFIG_DIR"] = str(folder)
    return made


@pytest.fixture(scope="module")
def dev(program: Program) -> Generator[dict[str, object]]:
    """What `sylvite cluster dev` says of the servers that it runs."""
    with program.start("cluster", "dev", "--dir", "nats", "--masters", "mars,venus", "--json") as process:
        said = json.loads(read_line(process.stdout))
        yield said
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0


def options(program: Program, dev: dict[str, object]) -> list[str]:
    servers = dev["servers"]
    assert isinstance(servers, list)
    return ["--servers", ",".join(map(str, servers)), "--credentials", str(program.folder / "nats" / "mars.nk")]  # type: ignore[reportUnknownArgumentType] - JSON


def test_nothing_is_to_be_said_of_servers_of_cluster_dev(program: Program, dev: dict[str, object]) -> None:
    files = [word for name in ("n1", "n2", "n3") for word in ("--server-config", f"nats/{name}/server.conf")]
    done = program("cluster", "check", *options(program, dev), "--system", str(dev["system"]), *files)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[:2] for line in done.lines] == [["ok", "n1"], ["ok", "n2"], ["ok", "n3"]]


def test_what_could_not_be_seen_is_said(program: Program, dev: dict[str, object]) -> None:
    done = program("cluster", "check", *options(program, dev))
    assert done.code == 0
    assert "not seen of n1: sync, " in done.err
    found = json.loads(program("cluster", "check", *options(program, dev), "--json").out)
    assert (found["servers"], found["findings"]) == (["n1", "n2", "n3"], [])
    assert "sync" in found["unseen"]["n2"]


def test_the_option_of_the_master_counts(program: Program, dev: dict[str, object]) -> None:
    said = {"servers": dev["servers"], "credentials": str(program.folder / "nats" / "venus.nk")}
    (program.folder / "master").write_text(json.dumps({"id": "venus", "cluster": said}))
    assert program("cluster", "check").code == 0
    (program.folder / "master").write_text("id: venus")
    done = program("cluster", "check")
    assert done.code == CONFIGURATION
    assert "says nothing of a cluster; set the option, or give --servers" in done.err


def test_a_fault_in_a_file_is_told_with_its_cure(program: Program, dev: dict[str, object]) -> None:
    wrong = program.folder / "wrong.conf"
    text = (program.folder / "nats" / "n1" / "server.conf").read_text()
    wrong.write_text(text.replace("sync_interval: always", 'sync_interval: "1m"'))
    wrong.chmod(0o600)
    done = program("cluster", "check", "--files-only", "--server-config", str(wrong))
    assert done.code == NO
    assert done.lines == [
        "FAIL  n1  sync: what it acknowledges may be in memory alone for 60 s: a power cut loses it",
        "      -> set `jetstream { sync_interval: always }`",
    ]
    del dev


def test_servers_that_cannot_be_asked(program: Program, dev: dict[str, object]) -> None:
    done = program("cluster", "check", "--servers", "nats://127.0.0.1:1")
    assert (done.code, done.out) == (NOT_REACHABLE, "")
    assert "cluster at nats://127.0.0.1:1 cannot be used" in done.err
    done = program("cluster", "check", *options(program, dev)[:2])
    assert done.code == NOT_ALLOWED
    assert "refuses us: Authorization Violation" in done.err
    done = program("cluster", "check", *options(program, dev), "--system", str(program.folder / "nats" / "mars.nk"))
    assert done.code == CONFIGURATION
    assert "is no user of the system account" in done.err


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("check", "--servers", "http://a"), CONFIGURATION, "is no address"),
        (("check", "--servers", "nats://a:b@127.0.0.1"), CONFIGURATION, "belong into the file"),
        (("check", "--files-only"), USAGE, "--files-only needs --server-config"),
        (("check", "--files-only", "--server-config", "nothing.conf"), CONFIGURATION, "No such file"),
        (("dev", "--masters", ""), USAGE, "names nobody"),
        (("dev", "--masters", "../a"), USAGE, "cannot be taken"),
        (("dev", "--masters", "system"), USAGE, "cannot be taken"),
    ],
)
def test_bad_input(program: Program, words: tuple[str, ...], code: int, reason: str) -> None:
    done = program("cluster", *words)
    assert done.code == code, done.err
    assert reason in done.err


def test_a_folder_of_something_else_is_left_alone(program: Program) -> None:
    (program.folder / "other").mkdir()
    (program.folder / "other" / "cluster.json").write_text("[]")
    done = program("cluster", "dev", "--dir", "other")
    assert done.code == CONFIGURATION
    assert "is not ours" in done.err


def test_a_server_that_ends_is_started_again(program: Program) -> None:
    with program.start("cluster", "dev", "--dir", "again") as process:
        while "cluster check" not in read_line(process.stdout):
            pass
        out = subprocess.run(("pgrep", "-P", str(process.pid)), capture_output=True, text=True, check=True).stdout
        subprocess.run(("kill", "-9", out.split()[0]), check=True)
        assert "has ended; it is started again in 3 s" in read_line(process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0
    left = [pid for pid in out.split() if Path(f"/proc/{pid}/exe").exists()]
    assert left == []
