"""The file of the keyring on bad days: kills, failing calls, files that are something else."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sylvite.auth.enrolment import Token
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_folder import KeyFolder
from sylvite.auth.keyring_store import NAME, VERSION, Store, connect
from sylvite.auth.keyring_values import (
    KeyringBusy,
    KeyringFailed,
    KeyringNotUnderstood,
    NotAccepted,
    State,
)
from sylvite.auth.keys import PublicKey, make_pair
from sylvite.errors import InvalidSetting

NOW_NS = 1_795_474_051_012_345_678
A, B, C = (make_pair().public for _ in range(3))
TOKEN = Token.new(make_pair().fingerprint)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Keyring.open(tmp_path / "keys", make=True) as keyring:
        keyring.ask("web1", A, "10.0.0.1", NOW_NS)
    return tmp_path / "keys"


def snapshot(keyring: Keyring) -> object:
    """All that the keyring says of itself."""
    return (
        keyring.all_keys(), keyring.due(1000), keyring.tokens(), keyring.expected(), keyring.revision(),
        [keyring.epoch(id_) for id_ in ("web1", "web2")], keyring.store.rows("SELECT * FROM barred ORDER BY fingerprint"),
        keyring.store.rows("SELECT * FROM former"), keyring.store.rows("SELECT * FROM successors"),
    )  # fmt: skip


# -- Failing calls -----------------------------------------------------------------------------------------------


class FailingConnection(sqlite3.Connection):
    """Fails at one call of `execute`, and does not do what was asked."""

    calls_left = -1
    error = "disk I/O error"

    def execute(self, *arguments: object) -> sqlite3.Cursor:  # pyright: ignore[reportIncompatibleMethodOverride] - as ours is called
        if self.calls_left == 0:
            FailingConnection.calls_left = -1
            raise sqlite3.OperationalError(self.error)
        FailingConnection.calls_left -= 1
        return super().execute(*arguments)  # pyright: ignore[reportArgumentType] - handed on as they are


def failing(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, factory=FailingConnection)


@pytest.fixture(autouse=True)
def _no_failure_is_left() -> Iterator[None]:
    yield
    FailingConnection.calls_left = -1


def accepted(keyring: Keyring) -> None:
    keyring.accept("web1", A.fingerprint, NOW_NS)
    announce(keyring, lambda _: None)


def succeeded(keyring: Keyring) -> None:
    accepted(keyring)
    keyring.offer_successor(keyring.identify(A.fingerprint, NOW_NS), B, NOW_NS)


def tokened(keyring: Keyring) -> None:
    keyring.add_token("web2", TOKEN.mac("web2"), NOW_NS, NOW_NS + 10**12)


def in_overlap(keyring: Keyring) -> None:
    succeeded(keyring)
    keyring.succeed(B.fingerprint, NOW_NS)


STEPS: list[tuple[str, Callable[[Keyring], object], Callable[[Keyring], object]]] = [
    ("ask", lambda _: None, lambda it: it.ask("web2", B, "10.0.0.2", NOW_NS)),
    ("denied", lambda _: None, lambda it: it.ask("web1", B, "10.0.0.2", NOW_NS)),
    ("token", tokened, lambda it: it.ask("web2", B, "10.0.0.2", NOW_NS, TOKEN)),
    ("accept", lambda _: None, lambda it: it.accept("web1", A.fingerprint, NOW_NS)),
    ("reject", lambda _: None, lambda it: it.reject("web1", A.fingerprint, NOW_NS)),
    ("revoke", accepted, lambda it: it.revoke("web1", A.fingerprint, NOW_NS)),
    ("delete", accepted, lambda it: it.delete("web1", A.fingerprint, NOW_NS)),
    ("offer", accepted, lambda it: it.offer_successor(it.identify(A.fingerprint, NOW_NS), B, NOW_NS)),
    ("succeed", succeeded, lambda it: it.succeed(B.fingerprint, NOW_NS)),
    ("expire", in_overlap, lambda it: it.expire(NOW_NS + 10**15)),
    ("announced", lambda _: None, lambda it: it.announced(1)),
    ("expect", lambda _: None, lambda it: it.expect("web2", B.fingerprint, NOW_NS)),
]


@pytest.mark.parametrize(("name", "before", "step"), STEPS, ids=[name for name, _, _ in STEPS])
def test_a_step_is_done_or_not_wherever_the_disk_fails(
    name: str, before: Callable[[Keyring], object], step: Callable[[Keyring], object], path: Path
) -> None:
    """Each call of SQLite fails once: then nothing has changed, also for who opens the file anew, and the same step goes."""
    with Keyring(KeyFolder(path), failing) as keyring, Keyring.open(path) as other:
        before(keyring)
        unchanged = snapshot(keyring)
        failed = 0
        for call in range(100):
            FailingConnection.calls_left = call
            try:
                step(keyring)
            except KeyringFailed:
                failed += 1
                assert snapshot(keyring) == snapshot(other) == unchanged, f"{name}: call {call}"
            else:
                break
        FailingConnection.calls_left = -1
        assert failed >= 3
        assert snapshot(keyring) == snapshot(other) != unchanged
        assert keyring.problems() == []


def test_a_former_key_counts_until_its_successor_does(path: Path) -> None:
    """At every step of a rollover, announced or not, one of the two counts."""
    with Keyring.open(path) as keyring:
        accepted(keyring)

        def counting() -> list[PublicKey]:
            found: list[PublicKey] = []
            for key in (A, B):
                try:
                    keyring.identify(key.fingerprint, NOW_NS)
                    found.append(key)
                except NotAccepted:
                    pass  # That is what is asked.
            return found

        assert counting() == [A]
        keyring.offer_successor(keyring.identify(A.fingerprint, NOW_NS), B, NOW_NS)
        assert counting() == [A]
        keyring.succeed(B.fingerprint, NOW_NS)
        assert counting() == [A]
        announce(keyring, lambda _: None)
        assert counting() == [A, B]
        keyring.expire(NOW_NS + 10**15)
        assert counting() == [B]


@pytest.mark.parametrize("call", range(12))
def test_a_failure_while_it_is_made_is_no_harm(call: int, tmp_path: Path) -> None:
    FailingConnection.calls_left = call
    with pytest.raises(KeyringFailed):
        Keyring(KeyFolder(tmp_path / "keys", make=True), failing)
    FailingConnection.calls_left = -1
    with Keyring.open(tmp_path / "keys") as keyring:
        assert keyring.ask("web1", A, "10.0.0.1", NOW_NS).state is State.PENDING
        assert keyring.problems() == []


def test_who_writes_for_too_long_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(uri: str) -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.05)

    with Keyring.open(path) as keyring, Keyring(KeyFolder(path), impatient) as other:
        with keyring.store.writing():
            with pytest.raises(KeyringBusy, match="try again"):
                other.ask("web2", B, "10.0.0.2", NOW_NS)
            assert len(other.all_keys()) == 1  # Looking is always possible.
        other.ask("web2", B, "10.0.0.2", NOW_NS)


# -- Files that are something else -------------------------------------------------------------------------------


def test_the_files_are_ours_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with Keyring.open(path) as keyring:
            keyring.ask("web2", B, "10.0.0.2", NOW_NS)
            found = {each.name: each.stat().st_mode & 0o777 for each in path.iterdir()}
    finally:
        os.umask(before)
    assert found == {NAME: 0o600, f"{NAME}-wal": 0o600, f"{NAME}-shm": 0o600, "lock": 0o600}


def test_every_commit_is_synced(path: Path) -> None:
    store = Store(KeyFolder(path))
    assert store.row("PRAGMA journal_mode") == ("wal",)
    assert store.row("PRAGMA synchronous") == (2,)
    store.close()


@pytest.mark.parametrize("name", [NAME, f"{NAME}-wal", f"{NAME}-shm"])
def test_a_file_that_others_can_write_is_not_opened(name: str, path: Path, tmp_path: Path) -> None:
    (path / name).touch()
    (path / name).chmod(0o666)
    with pytest.raises(InvalidSetting, match="open to other users"):
        Keyring.open(path)
    (path / name).unlink()
    (path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(InvalidSetting, match="no regular file"):
        Keyring.open(path)
    assert not (tmp_path / "victim").exists()


def no_database(file: Path) -> None:
    file.write_bytes(b"no database " * 1000)


def damaged(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:4000] = random.Random(1).randbytes(3900)
    file.write_bytes(content)


def of_another_program(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE keys (id TEXT)")
    database.close()
    file.chmod(0o600)


def of_a_newer_version(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_database, "damaged, or no keyring"),
        (damaged, "damaged, or no keyring"),
        (of_another_program, "of another program, and left as it is"),
        (of_a_newer_version, f"of version {VERSION + 1}, and left as it is"),
    ],
)
def test_a_file_that_is_not_understood_is_left_as_it_is(
    spoil: Callable[[Path], object], message: str, path: Path
) -> None:
    spoil(path / NAME)
    before = (path / NAME).read_bytes()
    with pytest.raises(KeyringNotUnderstood, match=message):
        Keyring.open(path)
    assert (path / NAME).read_bytes() == before


def test_an_id_with_two_keys_cannot_be_written(path: Path) -> None:
    """Not even by a mistake in our code: the database refuses."""
    for state, fingerprint, id_ in (
        ("accepted", "x", "web1"),
        ("pending", A.fingerprint, "web2"),
        ("lost", "x", "web2"),
    ):
        store = Store(KeyFolder(path))
        with pytest.raises(KeyringFailed, match="constraint"), store.writing():
            store.change("INSERT INTO keys VALUES (?, ?, ?, ?, 1, '', 1, 1, 1)", id_, fingerprint, bytes(32), state)
        store.close()


# -- Kills -------------------------------------------------------------------------------------------------------

_PROGRAM = """
import sys
from pathlib import Path
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keys import PublicKey

def say(text):
    sys.stdout.buffer.raw.write(f"{text}\\n".encode())

def publish(batch):
    for _, data in batch:
        say(f"event {data['act']} {data['id']}")

with Keyring.open(Path(sys.argv[1])) as keyring:
    for number in range(int(sys.argv[2]), 10_000):
        key = PublicKey((9 + number).to_bytes(32, "little"))
        keyring.ask(f"m{number}", key, "", number)
        say(f"asked m{number}")
        keyring.accept(f"m{number}", key.fingerprint, number)
        say(f"accepted m{number}")
        announce(keyring, publish)
        say(f"announced m{number}")
        if number % 2:
            keyring.revoke(f"m{number}", key.fingerprint, number)
            say(f"revoked m{number}")
"""


def test_killed_at_any_moment_it_keeps_what_it_has_said(path: Path) -> None:
    """Twelve kills (SIGKILL) in the middle of the work.

    What a call has returned is there, no half of a change is, no key counts that was not announced, and every change
    has its event.
    """
    chance = random.Random(4)
    said: set[str] = set()
    start, acted = 0, 0
    for _ in range(12):
        program = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path), str(start)], stdout=subprocess.PIPE)
        assert program.stdout is not None
        for _ in range(chance.randrange(1, 40)):
            said.add(program.stdout.readline().decode().rstrip())
        os.kill(program.pid, signal.SIGKILL)
        said.update(program.stdout.read().decode().splitlines())  # What it had said before it died.
        program.wait()
        program.stdout.close()
        with Keyring.open(path) as keyring:
            assert keyring.problems() == []
            acted += _check_after_kill(keyring, said)
            start = 1 + max(int(key.id[1:]) for key in keyring.all_keys() if key.id != "web1")
    assert acted > 12


def _check_after_kill(keyring: Keyring, said: set[str]) -> int:
    found = {str(key.id): key for key in keyring.all_keys()}
    due = {(change.act.value, change.id) for change in keyring.due(10_000)}
    for id_, key in found.items():
        if id_ == "web1":
            continue
        acts = ["pending", *(["accepted"] if key.state in (State.ACCEPTED, State.REVOKED) else [])]
        acts += ["revoked"] if key.state is State.REVOKED else []
        for act in acts:
            assert (act, id_) in due or f"event {act} {id_}" in said
        assert key.counts == (key.state is State.ACCEPTED and ("accepted", id_) not in due)
        assert not key.counts or f"event accepted {id_}" in said
    for line in said:
        word, _, id_ = line.partition(" ")
        if word == "revoked":
            assert found[id_].state is State.REVOKED
        elif word in ("accepted", "announced"):
            assert found[id_].state in (State.ACCEPTED, State.REVOKED)
            assert word == "accepted" or ("accepted", id_) not in due
        elif word == "asked":
            assert id_ in found
    return len(found)


def test_the_seam_is_the_real_thing(path: Path) -> None:
    """The connection of every day has no transactions of its own making."""
    connection = connect(f"{(path / NAME).as_uri()}?mode=rw")
    assert connection.isolation_level is None
    connection.close()
