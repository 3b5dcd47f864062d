"""`sylvite config`: what people and programs see of a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sylvite.cli import main
from sylvite.cli.config_show import value_text

CONTENT = "timeout: 8\nid: mars\nnodegroups: {web: 'L@web1,web2'}\nkeep_jobs_seconds: 2d\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SYLVITE_MASTER_CONFIG", "SYLVITE_MINION_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYLVITE_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "master").write_text(CONTENT)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.main(["config", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_configuration_that_is_right(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Of this machine the nodes that have one are looked at; without any, both."""
    assert run(capsys, "check") == (0, f"ok    master: {folder}/master\n", "")
    (folder / "minion").write_text("")
    assert run(capsys, "check")[1] == f"ok    master: {folder}/master\nok    minion: {folder}/minion\n"
    for name in ("master", "minion"):
        (folder / name).unlink()
    assert "no file: all options have their defaults" in run(capsys, "check")[1]


def test_errors_and_warnings_each_in_a_line(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "master").write_text("timeout: soon\ntimout: 5\nopen_mode: True\n")
    code, out, _ = run(capsys, "check", "-c", "master")
    assert code == 78
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["FAIL", "master:1:"], ["warn", "master:2:"], ["warn", "master:3:"],
    ]  # fmt: skip
    (folder / "master").write_text("timout: 5\n")
    assert run(capsys, "check", "-c", "master")[0] == 0
    assert run(capsys, "check", "-c", "master", "--strict")[0] == 1
    assert run(capsys, "check", "-c", "nowhere")[0] == 78


def test_the_node_is_told_by_the_name_of_the_file(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for name in ("minion", "minion.conf", "other"):
        (folder / name).write_text("ping_interval: 5\n")
    assert run(capsys, "show", "-c", "minion.conf")[0] == 0
    assert "is an option of a minion" in run(capsys, "check", "-c", "other")[1]
    assert run(capsys, "check", "-c", "other", "--node", "minion")[1] == "ok    minion: other\n"


def test_a_check_for_programs(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "master").write_text("ret_port: x\ntimout: 5\n")
    code, out, _ = run(capsys, "check", "--json", "-c", "master")
    (found,) = json.loads(out)
    assert (code, found["node"], found["files"]) == (78, "master", ["master"])
    assert found["errors"] == [
        {"file": "master", "line": 1, "name": "ret_port", "message": "must be a port, 1 to 65535"}
    ]
    assert found["warnings"] == [
        {"file": "master", "line": 2, "name": "timout", "message": "is not an option; did you mean 'timeout'?"}
    ]


def test_what_is_not_as_usual(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    _, out, _ = run(capsys, "show")
    assert out.splitlines() == [
        "id: mars",
        "keep_jobs_seconds: 172800",
        'nodegroups: {"web":"L@web1,web2"}',
        "timeout: 8",
    ]
    _, out, _ = run(capsys, "show", "--origin")
    assert out.splitlines()[1].split() == ["id", "mars", f"{folder}/master:2"]
    _, out, _ = run(capsys, "show", "--json", "--origin")
    assert json.loads(out)["timeout"] == {"value": 8, "origin": f"{folder}/master:1"}
    _, out, _ = run(capsys, "show", "--all")
    assert {"auth_events: True", "log_file: null", "broker.log.segment_bytes: 67108864"} <= set(out.splitlines())


def test_what_is_shown_reads_as_the_same(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    _, out, _ = run(capsys, "show", "--all")
    (folder / "master").write_text(
        "".join(
            f"{line}\n" for line in out.splitlines() if not line.startswith(("broker.", "cluster.", "rest_cherrypy."))
        )
    )
    assert run(capsys, "show", "--all")[1] == out
    assert run(capsys, "check", "--strict")[0] == 0


def test_nothing_is_shown_of_a_configuration_that_is_wrong(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "master").write_text("timeout: soon\n")
    code, out, err = run(capsys, "show")
    assert (code, out) == (78, "")
    assert err.startswith(f"sylvite: {folder}/master:1: timeout: 'soon' must be a number of seconds")


def test_secrets_are_never_shown(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "minion").write_text("grains: {api_key: k1}\nbeacons: {a: [{password: k2}]}\nauth_timeout: {token: k3}\n")
    shown = "".join(
        text
        for arguments in (
            ["check"],
            ["check", "--json"],
            ["explain", "grains"],
            ["explain", "beacons", "--json"],
            ["explain"],
        )
        for text in map(str, run(capsys, *arguments, "-c", "minion"))
    )
    (folder / "minion").write_text("grains: {api_key: k1}\nbeacons: {a: [{password: k2}]}\n")
    shown += "".join(map(str, run(capsys, "show", "-c", "minion"))) + "".join(
        map(str, run(capsys, "show", "--json", "-c", "minion"))
    )
    assert not [secret for secret in ("k1", "k2", "k3") if secret in shown]
    assert "***" in shown


def test_an_option_explained(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "master.d").mkdir()
    (folder / "master.d" / "a.conf").write_text("timeout: 2m\n")
    _, out, _ = run(capsys, "explain", "timeout", "-c", "master")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "timeout: 120"
    assert lines[3:] == ["default 5", "said by master:1: 8", 'said by master.d/a.conf:1: "2m"']
    _, out, _ = run(capsys, "explain", "ret_port", "--json")
    assert json.loads(out)["default"] == 4507
    assert "not as Salt" in run(capsys, "explain", "ret_port")[1]
    (folder / "master").write_text("root_dir: /srv/x\n")
    assert "computed    from root_dir" in run(capsys, "explain", "pki_dir")[1]
    assert "computed    from the name of this machine" in run(capsys, "explain", "id")[1]


def test_options_without_a_meaning_and_names_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "explain", "open_mode")
    assert out.startswith("open_mode is an option of Salt that has no meaning here: a key is accepted by an operator")
    assert json.loads(run(capsys, "explain", "open_mode", "--json")[1])["name"] == "open_mode"
    code, _, err = run(capsys, "explain", "timout")
    assert (code, "did you mean 'timeout'?" in err) == (2, True)
    assert run(capsys, "explain", "zzz")[0] == 2


def test_all_options_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for node, name in (("master", "ret_port"), ("minion", "master_port")):
        _, out, _ = run(capsys, "explain", "--node", node)
        assert any(line.startswith(f"{name} ") for line in out.splitlines())
        _, out, _ = run(capsys, "explain", "--node", node, "--json")
        assert name in {each["name"] for each in json.loads(out)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), ("/a b", "/a b"), ("", '""'), ("yes", '"yes"'), ("5", '"5"'), ("a: b", '"a: b"'), ("a ", '"a "'), (True, "True"),
        (None, "null"), ([1, "a"], '[1,"a"]'), (1.5, "1.5"), ("null", '"null"'), ("a\nb", '"a\\nb"'), ("a #b", '"a #b"'), ("*a", '"*a"'),
    ],
)  # fmt: skip
def test_values_as_they_can_stand_in_a_file(value: object, text: str) -> None:
    assert value_text(value) == text
