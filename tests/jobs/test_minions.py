"""What the master knows of its minions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.errors import EventTooBig, JobStoreFailed, JobStoreInUse
from sylvite.jobs.minions import GRAINS_BYTES_MAX, MinionStore, open_minions, read_minions
from sylvite.jobs.store import open_jobs

NOW_NS = 1_795_474_050_771_814_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "minions.db"


@pytest.fixture
def store(path: Path) -> Iterator[MinionStore]:
    with open_minions(path) as opened:
        yield opened


def test_the_latest_grains_of_each_are_kept(store: MinionStore) -> None:
    store.keep_grains("web1", {"os": "Debian", "n": 1}, NOW_NS)
    store.keep_grains("web2", {"os": "Fedora"}, NOW_NS)
    store.keep_grains("web1", {"os": "Ubuntu"}, NOW_NS + 1)
    store.came("web3", "10.0.0.3", NOW_NS)
    assert store.grains() == {"web1": {"os": "Ubuntu"}, "web2": {"os": "Fedora"}}
    assert store.grains_of("web1") == {"os": "Ubuntu"}
    assert store.grains_of("web3") == store.grains_of("nobody") == {}
    assert [record.grains_ns for record in store.records()] == [NOW_NS + 1, NOW_NS, None]


def test_minions_come_and_go(store: MinionStore) -> None:
    store.came("web1", "10.0.0.1", NOW_NS)
    store.came("web2", "10.0.0.2", NOW_NS)
    store.left("web2", "it said goodbye", NOW_NS + 5)
    store.left("web2", "again", NOW_NS + 6)
    store.left("nobody", "never here", NOW_NS)
    assert store.present() == ["web1"]
    web1, web2 = store.records()
    assert (web1.is_present, web1.address) == (True, "10.0.0.1")
    assert (web2.is_present, web2.left_ns, web2.reason) == (False, NOW_NS + 5, "it said goodbye")
    store.came("web2", "10.0.0.9", NOW_NS + 7)
    assert store.present() == ["web1", "web2"]
    assert (store.records()[1].left_ns, store.records()[1].reason) == (None, "")


def test_nobody_is_here_when_the_link_begins(store: MinionStore) -> None:
    store.keep_grains("web1", {"os": "Debian"}, NOW_NS)
    store.came("web1", "10.0.0.1", NOW_NS)
    store.all_left(NOW_NS + 1)
    assert store.present() == []
    assert store.grains_of("web1") == {"os": "Debian"}, "whom a job is for is worked out from those that are away too"
    store.forget("web1")
    assert store.records() == []


def test_changes_made_together_are_kept_together(store: MinionStore, path: Path) -> None:
    with read_minions(path) as reader:
        with store.together():
            for number in range(100):
                store.came(f"web{number:03}", "10.0.0.1", NOW_NS)
            assert reader.present() == []
        assert len(reader.present()) == 100
        with pytest.raises(EventTooBig), store.together():
            store.left("web000", "gone", NOW_NS)
            store.keep_grains("web001", {"long": "x" * GRAINS_BYTES_MAX}, NOW_NS)
        assert len(reader.present()) == 100


def test_one_process_writes_and_others_read(store: MinionStore, path: Path) -> None:
    with pytest.raises(JobStoreInUse):
        open_minions(path)
    with pytest.raises(JobStoreFailed):
        read_minions(path.with_name("nothing.db"))


def test_the_file_of_the_jobs_is_not_taken_for_it(tmp_path: Path) -> None:
    open_jobs(tmp_path / "jobs.db").close()
    with pytest.raises(JobStoreFailed, match="another program"):
        open_minions(tmp_path / "jobs.db")
