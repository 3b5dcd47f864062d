"""What is known of the minions of all masters."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sylvite.core.event import pack_data
from sylvite.jobs import others
from sylvite.jobs.known_minions import NO_BRIDGE, SILENT_NS, merge, read_known
from sylvite.jobs.minions import FILE, MinionRecord, open_minions
from sylvite.jobs.others import Grains, open_others


def here(id_: str, since_ns: int, master: str = "") -> MinionRecord:
    return MinionRecord(id_, None, since_ns, None, "10.0.0.1", "", master)


def left(id_: str, at_ns: int, master: str = "") -> MinionRecord:
    return MinionRecord(id_, None, 1, at_ns, "10.0.0.1", "it went", master)


@pytest.mark.parametrize(
    ("records", "master", "is_present"),
    [
        ([here("web1", 5), left("web1", 9, "venus")], "", True),
        ([left("web1", 9), here("web1", 5, "venus")], "venus", True),
        ([here("web1", 5), here("web1", 6, "venus")], "venus", True),
        ([left("web1", 5), left("web1", 6, "venus")], "venus", False),
        ([MinionRecord("web1", 1, None, None, "", ""), left("web1", 6, "venus")], "venus", False),
    ],
)
def test_a_minion_is_in_one_place(records: list[MinionRecord], master: str, is_present: bool) -> None:
    """Whichever clock is ahead: one that is somewhere is here, whenever it has left another master."""
    for order in (records, records[::-1]):
        (found,) = merge(order).values()
        assert (found.master, found.is_present) == (master, is_present)


class Files:
    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        with open_minions(self.path) as own:
            own.came("web1", "10.0.0.1", 5)
            own.keep_grains("web1", {"os": "Debian"}, 5)
        self.others = folder / others.FILE

    def write(self, records: list[MinionRecord], grains: dict[str, Any] | None = None, *, age_ns: int = 0) -> None:
        packed = [(("venus", id_), Grains(9, pack_data(each))) for id_, each in (grains or {}).items()]
        with open_others(self.others) as store:
            store.write(records, packed, [], ["venus"], time.time_ns() - age_ns)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_minions_of_all_masters_are_known(files: Files) -> None:
    files.write([here("web1", 4, "venus"), here("db1", 4, "venus")], {"web1": {"os": "Arch"}, "db1": {"os": "Alpine"}})
    with read_known(files.path) as known:
        assert known.present() == ["db1", "web1"]
        assert [(each.id, each.master) for each in known.records()] == [("db1", "venus"), ("web1", "")]
        assert known.grains() == {"db1": {"os": "Alpine"}, "web1": {"os": "Arch"}}
        assert [known.grains_of(id_) for id_ in ("web1", "db1", "gone")] == [{"os": "Arch"}, {"os": "Alpine"}, {}]


def test_without_a_cluster_there_are_those_of_this_master(files: Files) -> None:
    with read_known(files.path) as known:
        assert (known.present(), known.grains_of("web1")) == (["web1"], {"os": "Debian"})
        assert known.asks("mars")


def test_where_the_bridge_is_silent_nobody_is_known_to_be_elsewhere(files: Files) -> None:
    files.write([here("db1", 4, "venus")], age_ns=SILENT_NS + 1)
    with read_known(files.path) as known:
        assert known.present() == ["web1"]
        assert {each.id: each.reason for each in known.records()} == {"web1": "", "db1": NO_BRIDGE}


def test_the_first_of_those_that_are_here_asks(files: Files) -> None:
    files.write([])
    with read_known(files.path) as known:
        assert (known.asks("mars"), known.asks("zeus")) == (True, False)


def test_what_is_written_again_takes_the_place_of_what_was(files: Files) -> None:
    files.write([here("db1", 4, "venus"), here("db2", 4, "venus")], {"db1": {"os": "Alpine"}})
    with open_others(files.others) as store:
        store.write([left("db1", 7, "venus")], [], [("venus", "db2")], [], 8)
        assert [(each.id, each.left_ns, each.grains_ns) for each in store.records()] == [("db1", 7, 9)]
        assert (store.masters(), store.beat_ns()) == ([], 8)


@pytest.mark.parametrize("content", [b"no file of ours " * 1000, b""])
def test_a_file_that_cannot_be_used_is_put_aside(files: Files, content: bytes) -> None:
    files.write([here("db1", 4, "venus")])
    files.others.write_bytes(content)
    files.write([here("db2", 4, "venus")])
    with read_known(files.path) as known:
        assert known.present() == ["db2", "web1"]
