"""Places in the file system: who has one, and what is taken away at its end."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from sylvite.broker.place import Place
from sylvite.errors import AddressInUse


def test_one_at_a_time_has_a_place_and_the_next_one_is_told_who(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    place = Place(path, "socket")
    with pytest.raises(AddressInUse, match=r"bus\.sock is in use by another broker \(process \d+\)"):
        Place(path, "socket")
    place.release()
    Place(path, "socket").release()
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_put_there_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    place = Place(path, "socket")
    path.write_text("a report of mine")
    place.release()
    assert path.read_text() == "a report of mine"


def test_a_socket_that_has_another_in_its_place_by_then_leaves_that_alone(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    place = Place(path, "socket")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as other:
        place.bind(listening, 0o600)
        path.unlink()
        other.bind(str(path))
        place.release()
        assert path.is_socket()


def test_a_lock_that_was_taken_away_while_it_was_opened_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder ends between our opening of the file and our asking for the lock."""
    path = tmp_path / "bus.sock"
    first = Place(path, "socket")
    real, asked = fcntl.flock, list[int]()

    def release_first(descriptor: int, operation: int) -> None:
        if not asked:
            first.release()
        asked.append(descriptor)
        real(descriptor, operation)

    monkeypatch.setattr("sylvite.broker.place.fcntl.flock", release_first)
    second = Place(path, "socket")
    assert len(asked) == 2
    with pytest.raises(AddressInUse):
        Place(path, "socket")
    second.release()
