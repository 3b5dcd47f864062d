"""Reading options: which files count, and how what is wrong or strange in them is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sylvite.daemons.options.explaining import COMPUTED, DEFAULT, explain, show
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.daemons.options.reading import FILES_MAX, INCLUDES_DEEP_MAX, Loaded, load_master, load_minion, usual_file
from sylvite.errors import InvalidSetting


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configuration, and no other one."""
    for name in ("SYLVITE_MASTER_CONFIG", "SYLVITE_MINION_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYLVITE_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, content: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def master(content: str) -> Loaded[MasterOptions]:
    return load_master(write("master", content))


def minion(content: str) -> Loaded[MinionOptions]:
    return load_minion(write("minion", content))


def messages(loaded: Loaded[Any]) -> list[str]:
    return [str(found) for found in (*loaded.errors, *loaded.notices)]


# -- Files -----------------------------------------------------------------------------------------------------------


def test_without_a_file_all_options_have_their_defaults() -> None:
    for loaded, kind in ((load_master(), MasterOptions), (load_minion(), MinionOptions)):
        assert loaded.files == ()
        assert loaded.raise_first().options == msgspec.structs.replace(kind(), id=loaded.options.id)
        assert loaded.computed == ("id",)
        assert messages(loaded) == []


def test_a_file_that_somebody_names_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in (load_master(Path("nowhere")), load_minion(Path("nowhere"))):
        with pytest.raises(InvalidSetting, match="No such file"):
            loaded.raise_first()
    monkeypatch.setenv("SYLVITE_MASTER_CONFIG", "/nowhere/master")
    assert usual_file("master") == Path("/nowhere/master")
    assert usual_file("minion").name == "minion"
    assert "No such file" in messages(load_master())[0]


def test_environment_variables_say_where_files_are(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    write("master", "timeout: 1")
    write("other", "timeout: 2")
    assert load_master().options.timeout_s == 1
    monkeypatch.setenv("SYLVITE_MASTER_CONFIG", str(folder / "other"))
    assert load_master().options.timeout_s == 2
    assert load_master(Path("master")).options.timeout_s == 1
    monkeypatch.delenv("SYLVITE_MASTER_CONFIG")
    monkeypatch.delenv("SYLVITE_CONFIG_DIR")
    assert usual_file("minion") == Path("/etc/sylvite/minion")


def test_later_files_win_in_the_order_of_their_names() -> None:
    write("master.d/10-b.conf", "timeout: 2\nid: b")
    write("master.d/9-a.conf", "timeout: 3")
    write("master.d/20.txt", "timeout: 4")
    write("master.d/.hidden.conf", "timeout: 5")
    write("more/x.conf", "id: x")
    loaded = master("timeout: 1\nid: a\ninclude: [more/*.conf]\n")
    assert loaded.options.timeout_s == 3
    assert loaded.options.id == "x"
    assert loaded.files == ("master", "master.d/10-b.conf", "master.d/9-a.conf", "more/x.conf")
    assert [(str(said.place), said.value) for said in loaded.said["timeout"]] == [
        ("master:1", 1), ("master.d/10-b.conf:1", 2), ("master.d/9-a.conf:1", 3),
    ]  # fmt: skip
    assert messages(loaded) == []


def test_another_default_include_or_none() -> None:
    write("master.d/a.conf", "timeout: 2")
    write("elsewhere/a.conf", "timeout: 3")
    assert master("default_include: elsewhere/*.conf").options.timeout_s == 3
    without = master("default_include: ''\ninclude: ['']")
    assert (without.options.timeout_s, messages(without)) == (5, [])
    write("minion.d/a.conf", "ping_interval: 2")
    assert minion("").options.ping_interval_s == 120


def test_files_that_include_each_other_are_read_once() -> None:
    write("a.conf", "include: b.conf\ntimeout: 2")
    write("b.conf", "include: [a.conf, master]\ngather_job_timeout: 3")
    loaded = master("include: a.conf")
    assert loaded.files == ("master", "a.conf", "b.conf")
    assert (loaded.options.timeout_s, loaded.options.gather_job_timeout_s) == (2, 3)


def test_so_many_files_are_read() -> None:
    for number in range(FILES_MAX + 5):
        write(f"master.d/{number:04}.conf", f"timeout: {number}")
    loaded = master("")
    assert len(loaded.files) == FILES_MAX
    assert f"at most {FILES_MAX} are read" in messages(loaded)[0]


def test_files_include_others_so_deep() -> None:
    for number in range(INCLUDES_DEEP_MAX + 2):
        write(f"{number}.conf", f"include: {number + 1}.conf\ntimeout: {number}")
    loaded = master("include: 0.conf")
    assert loaded.options.timeout_s == INCLUDES_DEEP_MAX - 1
    assert f"more than {INCLUDES_DEEP_MAX} deep" in messages(loaded)[0]


def test_an_include_that_leads_nowhere_is_said() -> None:
    loaded = master("timeout: 1\ninclude:\n  - nothing/*.conf\n")
    assert messages(loaded) == ["master:2: include: there is no file 'nothing/*.conf'"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_others_may_write_is_not_read() -> None:
    """Nobody else sets what a daemon does: not in the main file, and not in one that it includes."""
    write("master.d/a.conf", "timeout: 2").chmod(0o666)
    loaded = master("timeout: 1")
    assert loaded.options.timeout_s == 1
    assert "is not safe" in messages(loaded)[0]
    os.chown(write("master.d/a.conf", "timeout: 2"), 4711, -1)
    assert "is not safe" in messages(master("timeout: 1"))[0]


# -- What is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\ntimeout: soon", "master:2: timeout: 'soon' must be a number of seconds or a duration such as 90s, at least 0"),
        ("timeout: -1", "master:1: timeout: -1 must be a number of seconds"), ("timeout: .inf", "must be a number of"),
        ("timeout: .nan", "must be a number of"), ("timeout: yes", "timeout: True must be a number of"),
        ("timeout: [1]", "timeout: [1] must be a number of"), (f"timeout: {10**400}", "must be a number of seconds"),
        ("presence_events: 1", "master:1: presence_events: 1 must be True or False"),
        ("auth_events: 'True'", "must be True or False"), ("ret_port: 70000", "70000 must be a port, 1 to 65535"),
        ("ret_port: '4507'", "must be a port"), ("id: [a]", "id: ['a'] must be text"), ("id: a b", "master:1: id: 'a b' is no id"),
        ("id: ../a", "is no id"), ("id: a*", "is no id"), (f"id: {'x' * 256}", "is no id"),
        ("log_level: loud", "must be one of all, garbage, trace, debug"), ("ipc_mode: udp", "must be ipc or tcp"),
        ("max_minions: -2", "must be a whole number, at least 0; 0 for no limit"), ("max_minions: 1.5", "must be a whole"),
        ("pki_dir: 5", "must be the path of a folder"), ("pki_dir: ''", "must be the path of a folder"),
        ("module_dirs: {a: b}", "must be a list of folders"), ("file_roots: {base: /a}", "must be a map of environments"),
        ("\nfile_roots:\n  base: [1]", "master:2: file_roots: {'base': [1]} must be a map of environments"),
        ("nodegroups: [a]", "each item of the list must be a map with one key"), ("nodegroups: {a: 5}", "'a' must be a target"),
        ("nodegroups: [{a: b}, {a: c}]", "'a' stands there twice"), ("nodegroups: {a: 'N@a'}", "leads back to itself"),
        ("nodegroups: {a: 'b c'}", "join conditions"), ("nodegroups: {a: N@b}", "there is no nodegroup 'b'"),
        ("broker:\n  log:\n    keep_byte: 5", "master:3: broker: {'log': {'keep_byte': 5}} must be settings of a broker: log.keep_byte: is not"),
        ("broker:\n  log:\n    keep_byte: 5", "did you mean 'keep_bytes'?"),
        ("broker: {log: {keep_s: soon}}", "log.keep_s: is not one; write 90s"), ("broker: 5", "must be settings of a broker"),
        ("keep_jobs_bytes: many", "must be a size such as 64MiB"), ("keep_jobs_seconds: -5", "; 0 for no limit"),
        ("keep_jobs: lots", "master:1: keep_jobs: 'lots' must be a number of seconds"),
        ("include: 5\ntimeout: x", "master:1: include: 5 must be a list of texts"),
        (f"sock_dir: /{'x' * 110}", "is too long: a UNIX socket's path has at most 107 bytes"),
        ("[a]", "must be a map of options"), ("a: [", "is not YAML"), ("a: 1\na: 2", "has the key 'a' twice, line 2"),
        ("a: !!python/object:os.system {}", "uses the tag"), ("a: &x 1\nb: *x", "uses the alias *x, line 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_and_what_was_expected(content: str, message: str) -> None:
    loaded = master(content)
    assert message in messages(loaded)[0]
    assert "\n" not in messages(loaded)[0]
    with pytest.raises(InvalidSetting):
        loaded.raise_first()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("master: []", "names nobody; a minion without a master has master_type: disable"),
        ("master: 'a:b:c/'", "is no address"), ("master: [a, 'b:99999']", "is no address"), ("master: 'a b'", "is no address"),
        ("master: {a: b}", "must be a list of texts"), ("process_count_max: -2", "-1 for no limit"),
        ("ping_interval: x", "must be a number of minutes or a duration"), ("recon_max: x", "must be a number of milliseconds"),
        ("beacons: [load]", "must be a map of beacons"), ("beacons: {load: {interval: 5}}", "'load' must be a list of maps"),
        ("beacons: {load: [{a: 1, b: 2}]}", "'load': each item of the list must be a map with one key"),
        ("beacons: {load: [{a: 1}, {a: 2}]}", "'load': 'a' stands there twice"), ("master_type: func", "must be one of str, failover"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_minion(content: str, message: str) -> None:
    assert message in messages(minion(content))[0]


def test_all_that_is_wrong_is_told_at_once_and_the_rest_counts() -> None:
    write("master.d/a.conf", "gather_job_timeout: x\nloop_interval: 9")
    write("master.d/b.conf", "{")
    loaded = master("timeout: x\nret_port: 5\nid: a/b")
    assert len(loaded.errors) == 4
    assert (loaded.options.timeout_s, loaded.options.ret_port, loaded.options.loop_interval_s) == (5, 5, 9)


def test_no_message_shows_a_secret() -> None:
    loaded = minion("beacons: {telegram: [{token: 123:abc}, {token: x}]}\nauth_timeout: {password: hunter2}")
    assert len(loaded.errors) == 2
    assert not {"123:abc", "hunter2"} & {word for message in messages(loaded) for word in message.split("'")}
    assert "***" in messages(loaded)[0]


# -- What is strange -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\ntimout: 3", "master:2: timout: is not an option; did you mean 'timeout'?"),
        ("cache_dir: /x", "cache_dir: is not an option; did you mean 'cachedir'?"),
        ("myco_thing: 3", "master:1: myco_thing: is not an option"),
        ("master_port: 5", "is an option of a minion; it has no meaning here"),
        ("open_mode: True", "open_mode: has no meaning here: a key is accepted by an operator"),
        ("keysize: 4096", "has no meaning here: the link is TLS 1.3"), ("zmq_backlog: 5", "has no meaning here: the link has one port"),
        ("event_return: pgjsonb", "has no meaning here: events are kept in the event log"),
        ("gitfs_remotes: []", "has no meaning here: there are no states"), ("reactor: []", "this version has no reactor"),
    ],
)  # fmt: skip
def test_what_is_strange_is_said_and_stops_nothing(content: str, message: str) -> None:
    loaded = master(content).raise_first()
    assert len(loaded.notices) == 1
    assert message in messages(loaded)[0]


def test_what_is_strange_is_said_once_for_the_file_that_counts() -> None:
    write("master.d/a.conf", "open_mode: False")
    assert [str(notice.place) for notice in master("open_mode: True").notices] == ["master.d/a.conf:1"]


def test_options_of_a_master_in_the_file_of_a_minion() -> None:
    for name in ("nodegroups", "keep_jobs", "keep_jobs_seconds"):
        assert "is an option of a master" in messages(minion(f"{name}: 5"))[0]


def test_what_other_programs_look_for_is_kept_and_nothing_is_said() -> None:
    loaded = master("saltgui_templates: {a: 1}\nmyco_thing: 3")
    assert loaded.others == {"saltgui_templates": {"a": 1}, "myco_thing": 3}
    assert len(loaded.notices) == 1


# -- Showing ---------------------------------------------------------------------------------------------------------


def test_each_option_is_shown_with_its_origin() -> None:
    write("master.d/a.conf", "\ntimeout: 2m")
    loaded = master("timeout: 8\nroot_dir: /srv/x\nkeep_jobs: 2\nbroker:\n  log:\n    keep_s: 2d")
    shown = {each.name: (each.value, each.origin, each.is_default) for each in show(loaded)}
    assert shown["timeout"] == (120, "master.d/a.conf:2", False)
    assert shown["keep_jobs_seconds"] == (7200, "master:3", False)
    assert shown["pki_dir"] == ("/srv/x/etc/sylvite/pki/master", COMPUTED, False)
    assert shown["id"][1] == COMPUTED
    assert shown["ret_port"] == (4507, DEFAULT, True)
    assert shown["broker.log.keep_s"] == (172_800, "master:6", False)
    assert shown["broker.log.keep_bytes"] == (None, DEFAULT, True)
    assert list(shown) == sorted(shown)


def test_an_option_is_explained_with_all_that_files_say() -> None:
    write("master.d/a.conf", "timeout: 2m")
    loaded = master("timeout: 8")
    found = explain(loaded, "timeout")
    assert found is not None
    assert (found.value, found.default, found.said) == (120, 5, (("master:1", 8), ("master.d/a.conf:1", "2m")))
    assert "duration such as 90s" in found.expected
    older = explain(loaded, "keep_jobs")
    assert older is not None
    assert older.name == "keep_jobs_seconds"
    inner = explain(loaded, "broker.log.keep_bytes")
    assert inner is not None
    assert (inner.value, inner.default, inner.origin) == (None, None, DEFAULT)
    assert [explain(loaded, name) for name in ("nothing", "broker.nothing", "broker.log", "timeout.a")] == [None] * 4


def test_secrets_are_shown_as_stars() -> None:
    loaded = minion(
        "beacons: {a: [{api_key: k1}, {deep: {smtp_password: k2, list: [{token: k3}]}}]}\ngrains: {a_secret: k4, name: n}"
    )
    told = str([show(loaded), explain(loaded, "beacons"), explain(loaded, "grains")])
    assert not [secret for secret in ("k1", "k2", "k3", "k4") if secret in told]
    assert told.count("***") >= 4
    assert "'name': 'n'" in told
    assert loaded.options.beacons["a"]["api_key"] == "k1"


@pytest.mark.parametrize("kind", [MasterOptions, MinionOptions])
def test_what_is_shown_can_be_written_to_a_file(kind: type[Any]) -> None:
    """Each option reads as what it is shown as: also those whose unit is not seconds."""
    load = load_master if kind is MasterOptions else load_minion
    before = load()
    shown = {each.name: each.value for each in show(before) if "." not in each.name}
    name = "master" if kind is MasterOptions else "minion"
    after = load(write(name, msgspec.json.encode(shown).decode())).raise_first()
    assert after.options == before.options
    assert messages(after) == []


def test_every_option_says_what_it_is_for() -> None:
    for loaded in (load_master(), load_minion()):
        for field in msgspec.structs.fields(type(loaded.options)):
            found = explain(loaded, field.encode_name)
            assert found is not None
            assert found.text.endswith(".")
            assert found.expected


def test_functions_find_options_by_the_names_and_in_the_units_of_salt(folder: Path) -> None:
    opts = make_opts(minion("ping_interval: 2m\nmyco: {password: x}\nrecon_max: 5\nid: web1\nmodule_dirs: [/a]"))
    assert (opts["ping_interval"], opts["recon_max"], opts["id"], opts["myco"]) == (2, 5, "web1", {"password": "x"})
    assert (opts["__role"], opts["conf_file"], opts["config_dir"], opts["module_dirs"]) == (
        "minion",
        "minion",
        ".",
        ["/a"],
    )
    assert make_opts(load_master())["__role"] == "master"


# -- Properties ------------------------------------------------------------------------------------------------------

NAMES = sorted({field.encode_name for kind in (MasterOptions, MinionOptions) for field in msgspec.structs.fields(kind)})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["log", "a", "base", "include"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def _make(kind: type[Any], value: Any) -> Any:
    return kind(value)


@given(st.dictionaries(st.sampled_from([*NAMES, "keep_jobs", "open_mode", "x"]), VALUES, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_values_are_taken_or_refused(content: dict[str, Any]) -> None:
    """Whatever stands where: options of the right types, and an error for each of the others."""
    path = write("any", msgspec.json.encode({**content, "default_include": ""}).decode())
    for load in (load_master, load_minion):
        loaded: Loaded[Any] = load(path)
        assert all(isinstance(wrong.error, InvalidSetting) for wrong in loaded.errors)
        options: Any = loaded.options
        kind: type[Any] = MasterOptions if load is load_master else MinionOptions
        assert msgspec.convert(msgspec.to_builtins(options, enc_hook=str), kind, dec_hook=_make) == options
        assert show(loaded)
        assert make_opts(loaded)
