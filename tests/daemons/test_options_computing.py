"""Options that follow from others, from the machine, or from how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sylvite.daemons.options.computing import (
    ID_FILE,
    compute,
    keep_id,
    kept_id,
    machine_name,
    master_addresses,
    what_is_wrong_with_id,
)
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.reading import load_master, load_minion
from sylvite.errors import InvalidSetting

NOWHERE = Path("/nowhere")


def read(folder: Path, node: str, content: str) -> Any:
    path = folder / node
    path.write_text(content)
    loaded = load_master(path) if node == "master" else load_minion(path)
    return loaded.raise_first().options


# -- Values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ("timeout: 8", "timeout_s", 8.0), ("timeout: 1.5", "timeout_s", 1.5), ("timeout: 2m", "timeout_s", 120.0),
        ("timeout: '7'", "timeout_s", 7.0), ("keep_jobs_seconds: 0", "keep_jobs_s", None), ("keep_jobs_seconds: 1d", "keep_jobs_s", 86_400.0),
        ("keep_jobs: 48", "keep_jobs_s", 172_800.0), ("keep_jobs: 48\nkeep_jobs_seconds: 5", "keep_jobs_s", 5.0),
        ("keep_jobs: 0", "keep_jobs_s", None), ("keep_jobs_seconds: null", "keep_jobs_s", None),
        ("keep_jobs_bytes: 2MiB", "keep_jobs_bytes", 2 << 20), ("keep_jobs_bytes: null", "keep_jobs_bytes", None),
        ("max_minions: 0", "max_minions", None), ("max_minions: 5", "max_minions", 5), ("id: 1234", "id", "1234"), ("id: 1.5", "id", "1.5"),
        ("log_level: DEBUG", "log_level", "debug"), ("log_file: /var/log/x", "log_file", Path("/var/log/x")),
        ("log_file: null", "log_file", None), ("presence_events: yes", "presence_events", True),
        ("module_dirs: /a", "module_dirs", (Path("/a"),)), ("module_dirs: [/a, b]", "module_dirs", (Path("/a"), Path("b"))),
        ("nodegroups: {a: 'L@b', c: [G@a:b, or, d]}", "nodegroups", {"a": "L@b", "c": ("G@a:b", "or", "d")}),
        ("nodegroups: [{a: b}, {c: N@a}]", "nodegroups", {"a": "b", "c": "N@a"}),
        ("broker: {limits: {event_bytes: 2MiB}}", "broker.limits.event_bytes", 2 << 20), ("broker: null", "broker.limits.event_bytes", 1 << 20),
    ],
)  # fmt: skip
def test_values_of_a_master(tmp_path: Path, content: str, name: str, value: object) -> None:
    found = read(tmp_path, "master", content)
    for step in name.split("."):
        found = getattr(found, step)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ("ping_interval: 3", "ping_interval_s", 180.0), ("ping_interval: 90s", "ping_interval_s", 90.0),
        ("recon_default: 1500", "recon_default_s", 1.5), ("recon_max: 20s", "recon_max_s", 20.0),
        ("process_count_max: -1", "process_count_max", None), ("process_count_max: 4", "process_count_max", 4),
        ("start_event_grains: [os, id]", "start_event_grains", ("os", "id")), ("master: a", "master", ("a",)),
        ("beacons: {load: [{interval: 30}, {averages: {1m: [0, 2]}}], empty: []}", "beacons",
         {"load": {"interval": 30, "averages": {"1m": [0, 2]}}, "empty": {}}),
        ("grains: {roles: [web]}", "grains", {"roles": ["web"]}),
    ],
)  # fmt: skip
def test_values_of_a_minion(tmp_path: Path, content: str, name: str, value: object) -> None:
    assert getattr(read(tmp_path, "minion", content), name) == value


def test_defaults_that_salt_documents(tmp_path: Path) -> None:
    """spec/salt-events.md, 1.2: what we do not depart from."""
    master, minion = read(tmp_path, "master", ""), read(tmp_path, "minion", "")
    assert (master.interface, master.auth_events, master.presence_events, master.loop_interval_s) == (
        "0.0.0.0",
        True,
        False,
        60,
    )
    assert (master.timeout_s, master.gather_job_timeout_s, master.job_cache, master.keep_jobs_s) == (
        5,
        10,
        True,
        86_400,
    )
    assert (master.max_minions, master.minion_data_cache, master.minion_data_cache_events) == (None, True, True)
    assert (master.ipc_mode, master.event_match_type, master.nodegroups) == ("ipc", "startswith", {})
    assert (minion.master, minion.enable_legacy_startup_events, minion.start_event_grains) == (("salt",), True, ())
    assert (minion.ping_interval_s, minion.acceptance_wait_time_s, minion.acceptance_wait_time_max_s) == (0, 10, 0)
    assert (minion.rejected_retry, minion.auth_timeout_s, minion.file_client) == (False, 5, "remote")
    assert (minion.recon_default_s, minion.recon_max_s, minion.recon_randomize) == (1, 10, True)
    assert (minion.use_master_when_local, minion.master_type, minion.minion_jid_queue_hwm) == (False, "str", 100)
    assert master.ret_port == minion.master_port == 4507


# -- Paths and ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "given", "expected"),
    [
        ("/", "/var/x", "/var/x"), ("/", "var/x", "/var/x"), ("/srv/r", "/var/x", "/srv/r/var/x"), ("/srv/r", "var/x", "/srv/r/var/x"),
        ("/srv/r", "/srv/r/x", "/srv/r/x"), ("/srv/r", "/srv/rx", "/srv/r/srv/rx"), ("relative", "/var/x", "relative/var/x"),
    ],
)  # fmt: skip
def test_paths_lie_below_root_dir(root: str, given: str, expected: str) -> None:
    options = MinionOptions(id="a", root_dir=Path(root), pki_dir=Path(given), log_file=Path(given))
    found, computed, errors = compute(options, NOWHERE)
    assert (found.pki_dir, found.log_file) == (Path(expected), Path(expected))
    assert ("pki_dir" in computed) == (given != expected)
    assert errors == []


def test_an_id_that_is_given_stays() -> None:
    found, computed, _ = compute(MinionOptions(id="web1"), NOWHERE)
    assert (found.id, computed) == ("web1", ())


def test_without_one_the_machine_gives_its_name() -> None:
    name = machine_name()
    assert what_is_wrong_with_id(name) is None
    assert compute(MinionOptions(), NOWHERE)[0].id == name
    assert compute(MasterOptions(), NOWHERE)[0].id == f"{name}_master"


@pytest.mark.parametrize(
    ("full", "short", "expected"),
    [
        ("web1.example.org", "web1", "web1.example.org"), ("localhost", "web1", "web1"), ("localhost.localdomain", "web1", "web1"),
        ("::1", "web1", "web1"), ("", "web1", "web1"), ("a b", "web1", "web1"), ("localhost", "localhost", "localhost"), ("", "", "localhost"),
    ],
)  # fmt: skip
def test_the_name_of_a_machine(full: str, short: str, expected: str) -> None:
    assert machine_name(lambda: full, lambda: short) == expected


def test_a_minion_keeps_its_id_when_the_machine_is_called_otherwise(tmp_path: Path) -> None:
    assert kept_id(tmp_path) is None
    keep_id(tmp_path / "new", "web1")
    assert compute(MinionOptions(), tmp_path / "new")[0].id == "web1"
    assert compute(MinionOptions(id="web2"), tmp_path / "new")[0].id == "web2"
    keep_id(tmp_path / "new", "web3")
    keep_id(tmp_path / "new", "web3")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [ID_FILE]
    assert kept_id(tmp_path / "new") == "web3"


@pytest.mark.parametrize("content", [b"", b"a b", b"../x", b"\xff\xfe", b"x" * 10_000])
def test_a_kept_id_that_is_none_is_not_believed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ID_FILE).write_bytes(content)
    assert kept_id(tmp_path) is None


@pytest.mark.parametrize("text", ["web1", "web1.example.org", "WEB_1-a", "a" * 192, "10.0.0.1", "user@host"])
def test_ids(text: str) -> None:
    assert what_is_wrong_with_id(text) is None


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a/b", "a\\b", "a b", "a\nb", "a\0b", "a" * 193, "é", "a*", "a,b", "[a]", "\u202ea", "a\u2028b"],
)
def test_what_is_no_id(text: str) -> None:
    assert what_is_wrong_with_id(text) is not None


# -- Masters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("salt", ("salt", 4507)), ("10.0.0.1", ("10.0.0.1", 4507)), ("salt:5000", ("salt", 5000)), ("[::1]:5000", ("::1", 5000)),
        ("[2001:db8::1]", ("2001:db8::1", 4507)), ("2001:db8::1", ("2001:db8::1", 4507)), ("::1", ("::1", 4507)),
    ],
)  # fmt: skip
def test_addresses_of_masters(given: str, expected: tuple[str, int]) -> None:
    assert master_addresses(MinionOptions(master=(given,))) == [expected]


@pytest.mark.parametrize("given", ["", "a:", "a:0", "a:70000", "a:b", "[::1", "a/b", "a b", "[a]:5"])
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(InvalidSetting, match="is no address"):
        master_addresses(MinionOptions(master=(given,)))
    _, _, errors = compute(MinionOptions(id="a", master=("good", given)), NOWHERE)
    assert len(errors) == 1


def test_several_masters_are_tried_in_their_order() -> None:
    options = MinionOptions(master=("a", "b:1"), master_port=2)
    assert master_addresses(options) == [("a", 2), ("b", 1)]
    disabled = msgspec.structs.replace(options, id="a", master=(), master_type="disable")
    assert compute(disabled, NOWHERE)[2] == []
