"""Options as running daemons take them: logs, the way to the bus, settings of the broker; and SIGHUP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from sylvite.core.level import Level
from sylvite.testing.broker import BrokerProcess
from tests.daemons.nodes import WITHIN_S, Daemon, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def until(is_so: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def says(daemon: Daemon, text: str, times: int = 1) -> None:
    until(lambda: daemon.log.read_text().count(text) >= times, daemon.log.read_text)


def add(file: Path, text: str) -> None:
    file.write_text(f"{file.read_text()}{text}\n")


def hang_up(daemon: Daemon) -> None:
    os.kill(daemon.pid, signal.SIGHUP)


def test_all_parts_of_a_master_log_json_to_stderr_and_to_one_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "master.json"
    add(site.master_file, f"log_format: json\nlog_level: warning\nlog_level_logfile: info\nlog_file: {file}")
    with site.master() as master:
        pass
    lines: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["logger"] for line in lines} >= {"sylvite.master", "sylvite.broker", "sylvite.link"}
    assert {"time", "level", "logger", "message"} == set(lines[0])
    assert master.log.read_text() == ""


def test_the_command_line_wins_over_the_file_in_every_part(site: Site) -> None:
    add(site.master_file, "log_level: debug")
    with Daemon(site.folder, "master", "--config", str(site.master_file), "-l", "error") as master:
        pass
    assert master.log.read_text() == ""


def test_a_log_file_that_cannot_be_written_ends_the_start(site: Site) -> None:
    add(site.master_file, f"log_file: {site.folder}/nowhere/log")
    command = [sys.executable, "-m", "sylvite", "master", "--config", str(site.master_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ended.returncode == 78
    assert "log_file" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("node", ["master", "minion"])
def test_with_ipc_mode_tcp_the_bus_is_on_the_loopback_with_a_token(site: Site, node: str) -> None:
    site.configure_minion(master_type="disable")
    add(site.master_file if node == "master" else site.minion_file, "ipc_mode: tcp")
    with site.master() if node == "master" else site.minion():
        folder = (site.bus if node == "master" else site.minion_bus).parent
        assert not (folder / "bus.sock").exists()
        assert (folder / "bus.tcp").stat().st_mode & 0o777 == 0o600
        with Client.connect(folder / "bus.tcp") as bus:
            bus.publish("myco/a", {})


def test_the_settings_of_the_broker_count_for_the_broker_of_a_node(site: Site) -> None:
    site.configure_minion(master_type="disable")
    for file in (site.master_file, site.minion_file):
        add(file, "broker:\n  log: {keep_s: 30d, segment_bytes: 8MiB}\n  limits: {event_bytes: 2000}")
    with site.master(), site.minion():
        for socket in (site.bus, site.minion_bus):
            with Client.connect(socket) as bus:
                assert bus.ask("stats")["log"]["keep_s"] == 30 * 86400
                with pytest.raises(ValueError, match="2000"):
                    bus.publish("myco/a", {"pad": "x" * 3000})


def test_sighup_takes_over_what_can_change_and_names_what_cannot(site: Site) -> None:
    with site.master() as master:
        site.write(
            site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port + 1), id="master", log_level="debug",
            broker="{log: {keep_s: 9d}, policy: {level: written}}", log_file=str(site.folder / "log"),
        )  # fmt: skip
        hang_up(master)
        says(master, "the configuration was read again from")
        says(master, "ret_port has changed, and counts from the next start on")
        says(master, "broker.log.keep_s has changed, and counts from the next start on")
        assert "policy has changed" not in master.log.read_text()
        with Client.connect(site.bus) as bus:

            def is_taken_over() -> bool:
                return bus.publish("myco/a", {}).level is Level.WRITTEN

            until(is_taken_over, master.log.read_text)
        until(lambda: (site.folder / "log").exists(), master.log.read_text)
    logged = (site.folder / "log").read_text()
    assert "sylvite.broker: stopped" in logged


def test_sighup_with_a_mistake_changes_nothing_and_says_which(site: Site) -> None:
    good = site.master_file.read_text()
    with site.master() as master:
        site.master_file.write_text(f"{good}log_level: loud\nloop_interval: soon\n")
        hang_up(master)
        says(master, f"the configuration stays as it was: {site.master_file}:")
        assert "log_level" in master.log.read_text()
        says(master, "loop_interval: 'soon' must be")
        site.master_file.write_text(good)
        hang_up(master)
        says(master, "the configuration was read again from")
        assert master.stop() == 0


def test_a_policy_that_cannot_be_used_leaves_the_one_before(site: Site) -> None:
    with site.master() as master:
        add(site.master_file, "broker: {policy: {rules: [{users: [no-such-user], publish: [a]}]}}")
        hang_up(master)
        says(master, "'no-such-user' is not a user")
        with Client.connect(site.bus) as bus:
            bus.publish("myco/a", {})


def test_a_minion_reads_its_configuration_again_too(site: Site) -> None:
    site.configure_minion(master_type="disable")
    with site.minion() as minion:
        site.configure_minion(master_type="disable", log_file=str(site.folder / "minion-log"), acceptance_wait_time="3")
        hang_up(minion)
        says(minion, "acceptance_wait_time has changed, and counts from the next start on")
        until((site.folder / "minion-log").exists, minion.log.read_text)


def test_a_broker_alone_says_what_a_restart_is_needed_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("alone")
    (folder / "broker.yaml").write_text("log: {keep_s: 1d}\n")
    arguments = ("--config", str(folder / "broker.yaml"), "--keep-size", "1GiB", "--log-format", "json")
    with BrokerProcess(folder / "b", arguments=arguments) as broker:
        (folder / "broker.yaml").write_text("log: {keep_s: 2d}\n")
        os.kill(broker.pid, signal.SIGHUP)
        until(lambda: "log.keep_s has changed" in broker.output(), broker.output)
        assert "keep_bytes has changed" not in broker.output()
    assert all(json.loads(line)["logger"] for line in broker.output().splitlines())


def test_a_minion_without_an_id_keeps_the_one_that_it_has_found(site: Site) -> None:
    """So that its key stays good when the machine is called otherwise."""
    site.write(site.minion_file, "n", master_type="disable")
    with site.minion():
        kept = (site.folder / "minion_id").read_text().strip()
    (site.folder / "minion_id").write_text("called-before\n")
    with site.minion(), Client.connect(site.minion_bus) as bus:
        assert kept
        names = [client["client"] for client in bus.ask("stats")["clients"]]
    assert "jobs:called-before" in names
