"""What is remembered of machines, and by whom it is told when the one who was at it is gone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.cloud.errors import LedgerFailed, MachineUnfinished
from sylvite.cloud.ledger import Ledger, process_name
from sylvite.errors import InvalidSetting
from tests.cloud.openstack import OpenStack
from tests.cloud.surroundings import Surroundings

AT = ("lab", "web1")


def write(around: Surroundings, statement: str) -> None:
    """Do something to the ledger that nobody but a bad disk or a crash does."""
    with contextlib.closing(sqlite3.connect(around.state / "cloud.db")) as database, database:
        database.execute(statement)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "state") as found:
        yield found


def test_what_is_begun_is_remembered_until_it_is_settled(ledger: Ledger, tmp_path: Path) -> None:
    ledger.begin(*AT, "web", "openstack")
    ledger.step(*AT, "requesting")
    ledger.known(*AT, "id-1")
    ledger.stopped(*AT, "no luck", left=True)
    with Ledger(tmp_path / "state") as other:
        (one,) = other.unfinished()
        assert (one.step, one.instance_id, one.reason, one.left, one.told) == (
            "requesting",
            "id-1",
            "no luck",
            True,
            False,
        )
        assert not one.goes_on
        other.settle(*AT)
    assert ledger.unfinished() == []


def test_one_name_is_begun_once_at_one_provider(ledger: Ledger) -> None:
    ledger.begin(*AT, "web", "openstack")
    with pytest.raises(MachineUnfinished, match="was begun before"):
        ledger.begin(*AT, "other", "openstack")
    ledger.begin("elsewhere", "web1", "web", "openstack")
    assert [one.profile for one in ledger.unfinished()] == ["web", "web"]


def test_only_we_can_read_it(ledger: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ledger.begin(*AT, "web", "openstack")
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_folder_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    with pytest.raises(InvalidSetting, match="chmod 700"):
        Ledger(tmp_path / "state")


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "cloud.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Ledger(tmp_path / "state")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "cloud.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerFailed, match=r"cloud.db.*not a database"):
        Ledger(tmp_path / "state")


def test_a_disk_that_keeps_nothing_any_more_hides_no_machine(around: Surroundings, openstack: OpenStack) -> None:
    """It stops the creation, and the event says what is left."""
    around.provider("lab", **openstack.provider())
    around.profile("web", provider="lab", size="2", image="img-1")
    with around.cloud() as cloud:
        known = cloud.ledger.known

        def known_and_then_no_more(provider: str, name: str, instance_id: str) -> None:
            known(provider, name, instance_id)
            write(around, "DROP TABLE unfinished")

        cloud.ledger.known = known_and_then_no_more  # type: ignore[method-assign] - the disk is bad from here
        with pytest.raises(LedgerFailed, match="no such table"):
            cloud.create("web1", "web")
    assert around.bus.steps == ["creating", "requesting", "failed"]
    assert (around.bus.data("failed")["left"], around.bus.data("failed")["instance_id"]) == (True, "id-1")


def test_a_process_has_a_name_that_no_other_gets() -> None:
    mine = process_name(os.getpid())
    assert mine == process_name(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        name = process_name(other.pid)
        assert name != mine
        other.kill()
    assert process_name(other.pid) != name


def test_what_a_dead_process_left_is_told_once(around: Surroundings) -> None:
    """With what is known of it: nothing was asked, nobody knows, or it is there."""
    with around.cloud() as cloud:
        for name, step, instance_id in (("a", "creating", None), ("b", "requesting", None), ("c", "querying", "id-3")):
            cloud.ledger.begin("lab", name, "web", "openstack")
            cloud.ledger.step("lab", name, step)
            if instance_id is not None:
                cloud.ledger.known("lab", name, instance_id)
        assert cloud.tell_abandoned() == []  # This process goes on.
        write(around, "UPDATE unfinished SET process = '999999:1:x'")
        assert [one.name for one in cloud.tell_abandoned()] == ["a", "b", "c"]
        assert cloud.tell_abandoned() == []
        assert [one.name for one in cloud.ledger.unfinished()] == ["b", "c"]
    assert around.bus.tags == ["salt/cloud/a/failed", "salt/cloud/b/failed", "salt/cloud/c/failed"]
    assert [data["left"] for _, data in around.bus.events] == [False, None, True]
    assert around.bus.events[2][1] == {
        "event": "create failed", "name": "c", "profile": "web", "provider": "lab", "driver": "openstack",
        "step": "querying", "code": "machine_interrupted", "reason": "the process that created it has ended",
        "left": True, "instance_id": "id-3",
    }  # fmt: skip
