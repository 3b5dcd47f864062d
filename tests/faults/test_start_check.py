"""D-11: what a broker looks at before it starts: refused with exit code 78 and left as it is, or put right."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.broker_parent import Process
from tests.faults.forked_brokers import Forks, broker_output, forked_brokers
from tests.faults.other_user import needs_root
from tests.faults.report import control, report
from tests.faults.unsafe_places import REFUSED, Case, Place

pytestmark = needs_root
CONFIGURATION = 78


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


def _refused(forks: Forks, place: Place, case: Case) -> bool:
    """Say whether the broker refuses to start, with the code that says so, and leaves what was there as it was."""
    case(forks, place)
    (place.root / "output" / "broker.log").unlink(missing_ok=True)
    before = _all_there_is(place.root)
    started = forks.start(place.start)
    code = forks.stop(started.pid) if started.ready else forks.ended(started.pid)
    said = broker_output(place.root / "output")
    assert "Traceback" not in said, said
    victim = place.elsewhere / "victim"
    assert not victim.exists() or victim.read_text() == "a report of mine"
    is_about_user = "invalid_setting: user: " in said
    assert "Permission denied" not in said, said
    after = _all_there_is(place.root)
    is_left = all(after.get(path) == what for path, what in before.items())
    return code == CONFIGURATION and is_left and is_about_user == (place.process != Process())


def _all_there_is(root: Path) -> dict[str, tuple[int, int]]:
    """Return each name with its owner and mode."""
    paths = [path for path in root.rglob("*") if "output" not in path.parts]
    return {str(path): (path.lstat().st_uid, path.lstat().st_mode) for path in paths}


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("d11"))


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__.strip("_"))
def test_a_start_that_would_not_be_safe_is_refused(forks: Forks, place: Place, case: Case) -> None:
    report("D-11", seed=0, runs=1, counters={"started": int(not _refused(forks, place, case))})


# -- Put right -------------------------------------------------------------------------------------------------------


def _check_running(forks: Forks, place: Place, check: Callable[[int], None]) -> None:
    started = forks.start(place.start)
    assert started.ready, broker_output(place.root / "output")
    try:
        check(started.pid)
    finally:
        assert forks.stop(started.pid) == 0


def _core_files(forks: Forks, place: Place) -> bool:
    found: list[str] = []
    _check_running(forks, place, lambda pid: found.append(Path(f"/proc/{pid}/limits").read_text()))
    (limit,) = [line.split()[4:6] for line in found[0].splitlines() if line.startswith("Max core file size")]
    return limit == ["0", "0"]


def _modes_below(place: Place) -> set[int]:
    files = [path for path in place.bus.rglob("*") if path.is_file() or path.is_socket()]
    assert files
    return {stat.S_IMODE(path.lstat().st_mode) & 0o077 for path in files}


def _umask_of(umask: int) -> Callable[[Forks, Place], bool]:
    def check(forks: Forks, place: Place) -> bool:
        place.process = Process(umask=umask)
        place.tcp = True
        found: list[set[int]] = []
        _check_running(forks, place, lambda _: found.append(_modes_below(place)))
        return found == [{0}]

    return check


def _log_that_others_can_read(forks: Forks, place: Place) -> bool:
    place.log.chmod(0o755)
    _check_running(forks, place, lambda _: None)
    return stat.S_IMODE(place.log.stat().st_mode) == 0o700


def _no_streams(forks: Forks, place: Place) -> bool:
    """What the broker and its libraries print must not end up in a segment."""
    place.process = Process(has_streams=False)
    found: list[str] = []

    def look(pid: int) -> None:
        found.extend(os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3))

    _check_running(forks, place, look)
    return found == [os.devnull] * 3


def _token_that_others_can_read(forks: Forks, place: Place) -> bool:
    place.tcp = True
    address = place.bus / "bus.tcp"
    address.write_text("an older one")
    address.chmod(0o644)
    with address.open() as older:
        found: list[int] = []
        _check_running(forks, place, lambda _: found.append(stat.S_IMODE(address.stat().st_mode)))
        return found == [0o600] and older.read() == "an older one"


def _stale_socket_of_another(forks: Forks, place: Place) -> bool:
    """Only in a folder of ours: it is taken away."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    place.others_own(place.socket)
    found: list[int] = []
    _check_running(forks, place, lambda _: found.append(place.socket.stat().st_uid))
    return found == [0]


PUT_RIGHT: dict[str, Callable[[Forks, Place], bool]] = {
    "core files": _core_files, "a umask of 0": _umask_of(0), "a umask of 0777": _umask_of(0o777),
    "a log that others can read": _log_that_others_can_read, "no streams": _no_streams,
    "a token that others can read": _token_that_others_can_read, "a stale socket of another": _stale_socket_of_another,
}  # fmt: skip


@pytest.mark.parametrize("case", PUT_RIGHT)
def test_what_only_concerns_the_broker_is_put_right(forks: Forks, place: Place, case: str) -> None:
    report("D-11", seed=0, runs=1, counters={"left": int(not PUT_RIGHT[case](forks, place))})


# -- What is usual ---------------------------------------------------------------------------------------------------


def _sticky(place: Place) -> None:
    place.bus.parent.chmod(0o1777)


def _group_of_root(place: Place) -> None:
    place.bus.parent.chmod(0o775)


def _link_of_ours(place: Place) -> None:
    place.put_aside(place.log)
    os.chown(place.log, 0, 0, follow_symlinks=False)


def _nothing_yet(place: Place) -> None:
    place.bus = place.bus / "new" / ".." / "other"
    place.log, place.socket = place.bus / "a" / "log", place.bus / "b" / "bus.sock"


@pytest.mark.parametrize("case", [_sticky, _group_of_root, _link_of_ours, _nothing_yet], ids=lambda case: case.__name__)
def test_what_is_usual_is_no_reason(forks: Forks, place: Place, case: Callable[[Place], None]) -> None:
    case(place)
    _check_running(forks, place, lambda _: None)


# -- Negative controls -------------------------------------------------------------------------------------------------


def test_without_precautions_most_of_these_start(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    started = 0
    for case in REFUSED:
        place = Place(tmp_path_factory.mktemp("d11"), without="precautions")
        try:
            started += not _refused(forks, place, case)
        except AssertionError:
            started += 1  # It has harmed what it must not touch.
    assert started > len(REFUSED) / 2
    with pytest.raises(AssertionError, match='"row": "D-11"'):
        report("D-11", seed=0, runs=len(REFUSED), counters={"started": started}, without="precautions")


@pytest.mark.parametrize("case", ["core files", "no streams"])
def test_without_precautions_nothing_is_put_right(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, case: str
) -> None:
    place = Place(tmp_path_factory.mktemp("d11"), without="precautions")
    with control("D-11", without="precautions"):
        test_what_only_concerns_the_broker_is_put_right(forks, place, case)
