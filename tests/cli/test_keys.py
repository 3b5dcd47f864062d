"""`sylvite keys`, the real program: a real keyring, a real broker."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from sylvite import Client
from sylvite.auth.enrolment import parse_token
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.auth.keyring_values import NotAccepted, State
from sylvite.auth.keys import PublicKey, make_pair
from sylvite.testing.broker import BrokerProcess
from tests.cli.program import COMMAND, Program

A, B, C, D = (make_pair().public for _ in range(4))


class Master(Program):
    """A data folder with a broker, and keys that have asked."""

    def __init__(self, process: BrokerProcess, folder: Path) -> None:
        super().__init__(process.socket, folder)
        self.process = process
        self.environment["SYLVITE_DIR"] = str(process.folder)
        self.keys_folder = process.folder / "keys"
        assert self("keys", "gen").code == 0

    def open(self) -> Keyring:
        return Keyring.open(self.keys_folder)

    def ask(self, id_: str, key: PublicKey, address: str = "10.0.0.1") -> None:
        with self.open() as keyring:
            keyring.ask(id_, key, address, time.time_ns())

    def states(self) -> dict[str, str]:
        with self.open() as keyring:
            return {str(key.id): key.state.value for key in keyring.all_keys()}

    def events(self) -> list[tuple[str, str]]:
        with Client.connect(self.process.socket) as bus:
            found = bus.subscribe(exact="salt/key", since="oldest", until_end=True)
            return [(event.data["act"], event.data["id"]) for event in found]


@pytest.fixture
def run(sylvite_broker: BrokerProcess, tmp_path: Path) -> Master:
    return Master(sylvite_broker, tmp_path)


# -- Look --------------------------------------------------------------------------------------------------------


def test_a_list_without_keys_says_so(run: Master) -> None:
    done = run("keys", "list")
    assert (done.code, done.out, done.err) == (0, "", "no keys\n")
    assert json.loads(run("keys", "list", "--json").out) == {
        "keys": [], "expected": [], "tokens": [], "not_announced": 0,
    }  # fmt: skip


def test_a_list_has_those_first_who_wait(run: Master) -> None:
    for id_, key in (("db1", A), ("web1", B), ("web2", C), ("db1", D)):
        run.ask(id_, key)
    run("keys", "accept", "db1", "-y")
    run("keys", "token", "web9")
    done = run("keys", "list")
    assert [line.split()[:2] for line in done.lines] == [
        ["STATE", "ID"], ["pending", "web1"], ["pending", "web2"], ["denied", "db1"], ["accepted", "db1"], ["token", "web9"],
    ]  # fmt: skip
    assert f"{B.fingerprint[:23]}…" in done.lines[1]
    assert [line.split()[1] for line in run("keys", "list", "web*").lines[1:]] == ["web1", "web2", "web9"]
    assert [line.split()[1] for line in run("keys", "list", "--state", "denied").lines[1:]] == ["db1"]
    listed = json.loads(run("keys", "list", "db*", "--json").out)["keys"]
    assert [(key["id"], key["state"], key["counts"], key["fingerprint"]) for key in listed] == [
        ("db1", "denied", False, D.fingerprint), ("db1", "accepted", True, A.fingerprint),
    ]  # fmt: skip


def test_a_thousand_keys_are_listed(run: Master) -> None:
    with run.open() as keyring, keyring.store.writing():
        for number in range(1000):
            key = PublicKey((1000 + number).to_bytes(32, "little"))
            keyring.store.change(
                "INSERT INTO keys VALUES (?, ?, ?, 'accepted', 1, '', 1, 1, 1)",
                f"m{number:04}",
                key.fingerprint,
                key.raw,
            )
    lines = run("keys", "list").lines
    assert len(lines) == 1001
    assert lines[1:] == sorted(lines[1:])
    assert len({len(line.split()[0]) for line in lines[1:]}) == 1


def test_what_is_not_announced_yet_is_said(run: Master) -> None:
    run.ask("web1", A)
    done = run("keys", "list")
    assert (done.code, done.err) == (0, "1 change not announced on the bus yet\n")
    assert run("keys", "list", "-q").err == ""


def test_one_minion_is_shown_whole(run: Master) -> None:
    run.ask("web1", A)
    run.ask("web1", B, "10.0.0.2")
    shown = run("keys", "show", "web1")
    assert shown.out.count("fingerprint") == 2
    assert A.fingerprint in shown.out
    assert B.pem in shown.out
    told = json.loads(run("keys", "show", "web1", "--json").out)
    assert [key["address"] for key in told["keys"]] == ["10.0.0.1", "10.0.0.2"]
    assert run("keys", "show", "nobody").code == 1


def test_an_address_cannot_speak_to_a_terminal(run: Master) -> None:
    run.ask("web1", A, "10.0.0.1\x1b[31m\n")
    for command in (("list",), ("show", "web1")):
        assert "\x1b" not in run("keys", *command).out


def test_fingerprints(run: Master) -> None:
    run.ask("web1", A)
    master = run("keys", "finger")
    assert re.fullmatch("([0-9a-f]{2}:){31}[0-9a-f]{2}\n", master.out)
    assert json.loads(run("keys", "finger", "--json").out)["fingerprint"] == master.out.strip()
    for file in ("master.pub", "master.key"):
        assert run("keys", "finger", "--file", str(run.keys_folder / file)).out == master.out
    assert run("keys", "finger", "w*").lines[1].split() == ["web1", "pending", A.fingerprint]
    assert run("keys", "finger", "x*").code == 1
    (run.folder / "noise").write_bytes(bytes(range(256)) * 200)
    assert run("keys", "finger", "--file", "noise").code == 2
    assert run("keys", "finger", "--file", "none").code == 74


# -- Move --------------------------------------------------------------------------------------------------------


def test_an_accepted_minion_is_announced_and_counts(run: Master) -> None:
    run.ask("web1", A)
    done = run("keys", "accept", "web1", "-y")
    assert (done.code, done.out, done.err) == (0, "web1  accepted\n", "")
    assert run.events() == [("pending", "web1"), ("accepted", "web1")]
    with run.open() as keyring:
        assert keyring.identify(A.fingerprint, time.time_ns()).id == "web1"


def test_the_moves_one_after_the_other(run: Master) -> None:
    """With what each prints, as text and as JSON."""
    for id_, key in (("web1", A), ("web2", B), ("db1", C)):
        run.ask(id_, key)
    assert run("keys", "accept", "web*", "--dry-run").lines == [
        "web1  would be accepted (pending)", "web2  would be accepted (pending)",
    ]  # fmt: skip
    assert run.states() == {"web1": "pending", "web2": "pending", "db1": "pending"}
    assert run("keys", "accept", "web*", "-y").lines == ["web1  accepted", "web2  accepted"]
    assert run("keys", "reject", "db1", "-y").out == "db1  rejected\n"
    told = json.loads(run("keys", "revoke", "web2", "-y", "--json").out)
    assert (told["act"], told["dry_run"]) == ("revoked", False)
    assert [(key["id"], key["state"]) for key in told["keys"]] == [("web2", "revoked")]
    assert run("keys", "accept", "db1", "--include-rejected", "-y").out == "db1  accepted\n"
    assert run("keys", "delete", "*", "-y").lines == [
        "db1  deleted (accepted)",
        "web1  deleted (accepted)",
        "web2  deleted (revoked)",
    ]
    assert run.events()[3:] == [
        ("accepted", "web1"), ("accepted", "web2"), ("rejected", "db1"), ("revoked", "web2"), ("accepted", "db1"),
        ("delete", "db1"), ("delete", "web1"), ("delete", "web2"),
    ]  # fmt: skip
    assert run("keys", "list").err == "no keys\n"


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("accept", "web1"), 1, "the key of web1 is accepted: it is accepted already"),
        (("accept", "web2"), 1, "it is rejected: add --include-rejected"),
        (("accept", "x*"), 1, "nothing that is pending matches 'x*'"),
        (("accept", "db1", "x*"), 1, "nothing that is pending matches 'x*'"),
        (("accept", "db1", "--fingerprint", "00"), 2, "is not a fingerprint"),
        (("accept", "db*", "--fingerprint", A.fingerprint), 2, "--fingerprint is for one id"),
        (("accept", "web1", "--fingerprint", B.fingerprint), 1, "revoke or delete it first"),
        (("reject", "web1"), 1, "taken back with `revoke`"),
        (("revoke", "db1"), 1, "it was never accepted; use `reject`"),
        (("revoke", "*", "nobody"), 1, "nothing that is accepted matches 'nobody'"),
        (("delete", "nobody"), 1, "nothing that is known matches"),
        (("delete", "db1", "--state", "accepted"), 1, "it is not one of accepted"),
        (("delete", "a\x1b[31m"), 1, r"matches 'a\x1b[31m'"),
        (("token", "../web1"), 2, "cannot be the id of a minion"),
        (("token", "web1"), 1, "revoke or delete it first"),
        (("token", "web3", "--valid", "2d"), 2, "at most 24 hours"),
        (("token", "web3", "--cancel"), 1, "there is no token for web3"),
        (("gen", "web3"), 2, "give both"),
        (("gen", "../x", "--to", "seed"), 2, "cannot be the id of a minion"),
        (("show", ""), 1, "nothing is known of ''"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_changes_nothing(
    arguments: tuple[str, ...], code: int, part: str, run: Master
) -> None:
    for id_, key in (("web1", A), ("web2", B), ("db1", C)):
        run.ask(id_, key)
    with run.open() as keyring:
        keyring.accept("web1", A.fingerprint, 1)
        keyring.reject("web2", B.fingerprint, 1)
    yes = ("-y",) if arguments[0] in ("accept", "reject", "revoke", "delete") else ()
    done = run("keys", *arguments, *yes)
    assert part.replace("it is rejected: add", "the key of web2 is rejected: add") in done.err
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("sylvite: ")
    assert done.err.count("\n") == 1
    assert run.states() == {"web1": "accepted", "web2": "rejected", "db1": "pending"}
    assert run.events() == []


def test_a_denied_key_takes_the_place_of_one_that_is_gone(run: Master) -> None:
    run.ask("web1", A)
    run("keys", "accept", "web1", "-y")
    run.ask("web1", B)
    refused = run("keys", "accept", "web1", "--include-denied", "-y")
    assert (refused.code, refused.out) == (1, "")
    assert "its id has another key" in refused.err
    assert run("keys", "delete", "web1", "--state", "accepted", "-y").out == "web1  deleted (accepted)\n"
    assert run("keys", "accept", "web1", "--include-denied", "-y").out == "web1  accepted\n"


def test_what_is_expected_is_accepted_when_it_asks(run: Master) -> None:
    """Capital letters and no colons, as another tool may print it."""
    text = A.fingerprint.replace(":", "").upper()
    done = run("keys", "accept", "web1", "--fingerprint", text, "-y")
    assert (done.code, done.out) == (0, "web1  will be accepted when it asks with this key\n")
    run.ask("web1", A)
    assert run.states() == {"web1": "accepted"}
    run("keys", "accept", "web2", "--fingerprint", text, "-y")
    assert run("keys", "list", "web2").lines[1].split()[:2] == ["expected", "web2"]
    assert run("keys", "delete", "web2", "-y").out == "web2  deleted (expected)\n"
    assert run("keys", "delete", "web2", "-y").code == 1


def test_a_fingerprint_that_was_compared_is_the_one_that_is_accepted(run: Master) -> None:
    run.ask("web1", A)
    assert run("keys", "accept", "web1", "--fingerprint", A.fingerprint, "-y").out == "web1  accepted\n"
    run.ask("web2", B)
    assert "will be accepted when it asks" in run("keys", "accept", "web2", "--fingerprint", C.fingerprint, "-y").out
    assert run.states()["web2"] == "pending"


# -- Ask ---------------------------------------------------------------------------------------------------------


def test_nothing_is_asked_where_nobody_can_answer(run: Master) -> None:
    run.ask("web1", A)
    for move in ("accept", "reject", "delete"):
        done = run("keys", move, "web1", stdin="y\n")
        assert (done.code, done.out) == (2, "")
        assert "There is no terminal to answer on: add -y" in done.err
    assert run.states() == {"web1": "pending"}


@pytest.mark.parametrize(
    ("answer", "code", "state"), [(b"y\n", 0, "accepted"), (b"n\n", 130, "pending"), (b"\n", 130, "pending")]
)
def test_on_a_terminal_the_keys_are_shown_and_the_answer_counts(
    answer: bytes, code: int, state: str, run: Master
) -> None:
    run.ask("web1", A)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "keys", "accept", "web1"], stdin=theirs, stdout=theirs, stderr=theirs, env=run.environment, cwd=run.folder
    )  # fmt: skip
    os.close(theirs)
    try:
        shown = b""
        while b"[y/N]" not in shown:
            assert select.select([ours], [], [], 30)[0]
            shown += os.read(ours, 4096)
        os.write(ours, answer)
        assert process.wait(timeout=30) == code
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert f"pending   web1  {A.fingerprint}" in shown.decode()
    assert run.states() == {"web1": state}


# -- Tokens and pairs --------------------------------------------------------------------------------------------


def test_a_token_lets_its_minion_in(run: Master) -> None:
    done = run("keys", "token", "web1", "--valid", "10m")
    token = parse_token(done.out)
    assert token.master == run("keys", "finger").out.strip()
    assert re.fullmatch(r"for web1, once, until [-0-9 :]{19}; it is not shown again\n", done.err)
    for file in run.keys_folder.iterdir():
        assert token.secret() not in file.read_bytes(), file.name
    with run.open() as keyring:
        assert keyring.ask("web1", A, "10.0.0.1", time.time_ns(), token).state is State.ACCEPTED


def test_who_waits_for_the_id_of_a_token_is_named(run: Master) -> None:
    run.ask("web1", A)
    done = run("keys", "token", "web1")
    assert done.code == 0
    assert f"the key {A.fingerprint} waits for this id already" in done.err


def test_a_token_can_be_cancelled(run: Master) -> None:
    told = json.loads(run("keys", "token", "web1", "--json").out)
    assert told["until_ns"] - time.time_ns() > 3500 * 10**9
    assert json.loads(run("keys", "list", "--json").out)["tokens"] == [{"id": "web1", "until_ns": told["until_ns"]}]
    assert run("keys", "token", "web1", "--cancel").out == "the token for web1 does not count any more\n"
    assert run("keys", "list").err == "no keys\n"


def test_pairs_for_minions(run: Master) -> None:
    done = run("keys", "gen", "web1", "--to", "seed")
    assert done.err == "seed/web1.key is made\n"
    again = run("keys", "gen", "web1", "--to", "seed")
    assert (again.out, again.err) == (done.out, "seed/web1.key was there already\n")
    assert {each.name for each in (run.folder / "seed").iterdir()} == {"web1.key", "web1.pub", "lock"}
    assert run("keys", "finger", "--file", "seed/web1.pub").out == done.out
    told = json.loads(run("keys", "gen", "--json").out)
    assert (told["made"], told["file"]) == (False, str(run.keys_folder / "master.key"))


# -- What is not there, or not ours ------------------------------------------------------------------------------


def test_without_a_bus_nothing_is_accepted(run: Master) -> None:
    """It would not count; so it is not begun."""
    run.ask("web1", A)
    run.process.stop()
    done = run("keys", "accept", "web1", "-y")
    assert (done.code, done.out) == (69, "")
    assert "no broker at" in done.err
    assert run.states() == {"web1": "pending"}


def test_without_a_bus_rights_are_taken_all_the_same(run: Master) -> None:
    """And announced by whoever comes next."""
    run.ask("web1", A)
    run.ask("web2", B)
    run("keys", "accept", "*", "-y")
    run.process.stop()
    done = run("keys", "revoke", "web1", "-y")
    assert (done.code, done.out) == (69, "web1  revoked\n")
    assert "the change is made, but not announced: no broker at" in done.err
    with run.open() as keyring, pytest.raises(NotAccepted, match="revoked"):
        keyring.identify(A.fingerprint, time.time_ns())
    told = json.loads(run("keys", "delete", "web1", "-y", "--json").err)
    assert told["error"]["code"] == "not_announced"
    run.process.start()
    assert run("keys", "revoke", "web2", "-y").code == 0
    assert run.events()[-3:] == [("revoked", "web1"), ("delete", "web1"), ("revoked", "web2")]


def test_the_bus_beside_the_keys_is_taken(run: Master) -> None:
    """Without --socket and SYLVITE_SOCKET, and not that of another node on the same machine."""
    run.ask("web1", A)
    del run.environment["SYLVITE_SOCKET"]
    del run.environment["SYLVITE_DIR"]
    assert run("keys", "accept", "web1", "-y", "--dir", str(run.process.folder)).code == 0
    assert run.events()[-1] == ("accepted", "web1")


@pytest.mark.parametrize(
    "command", [("list",), ("accept", "*", "-y"), ("token", "web1"), ("finger",), ("show", "web1")]
)
def test_a_folder_that_is_not_there_is_not_made(command: tuple[str, ...], run: Master) -> None:
    done = run("keys", *command, "--dir", "nowhere")
    assert (done.code, done.out) == (78, "")
    assert "is not there; `sylvite keys gen` makes it" in done.err
    assert not (run.folder / "nowhere").exists()


def test_a_folder_that_others_can_read_is_not_used(run: Master) -> None:
    run.keys_folder.chmod(0o750)
    done = run("keys", "list")
    assert (done.code, done.out) == (78, "")
    assert "close it with `chmod 700`" in done.err
    run.keys_folder.chmod(0o700)
    (run.keys_folder / "master.key").chmod(0o644)
    assert "is open to other users" in run("keys", "gen").err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_not_used(run: Master) -> None:
    os.chown(run.keys_folder, 54_321, -1)
    try:
        done = run("keys", "list")
    finally:
        os.chown(run.keys_folder, 0, -1)
    assert done.code == 78
    assert "belongs to uid 54321, and not to you; run this as that user" in done.err


def test_a_keyring_that_is_damaged_is_left_as_it_is(run: Master) -> None:
    (run.keys_folder / "keyring.db").write_bytes(b"x" * 10_000)
    for command in (("list",), ("gen",)):
        done = run("keys", *command, "--json")
        assert (done.code, json.loads(done.err)["error"]["code"]) == (78, "keyring_not_understood")
    assert (run.keys_folder / "keyring.db").read_bytes() == b"x" * 10_000


def test_a_master_without_a_key_has_no_fingerprint(run: Master) -> None:
    for file in ("master.key", "master.pub"):
        (run.keys_folder / file).unlink()
    for command in (("finger",), ("token", "web1")):
        done = run("keys", *command)
        assert (done.code, done.out) == (78, "")
        assert "the master has no key; `sylvite keys gen` makes it" in done.err


def test_looking_loads_no_cryptography(run: Master) -> None:
    """It takes longer to load than all the rest."""
    program = "import sys; from sylvite.cli.main import main; main(['keys', *sys.argv[1:]]); print(*sys.modules, file=sys.stderr)"
    run.ask("web1", A)
    for arguments in (["list"], ["finger"], ["accept", "web1", "-y"]):
        done = subprocess.run(
            [COMMAND[0], "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60, env=run.environment
        )  # fmt: skip
        assert not {"cryptography", "asyncio", "yaml"} & set(done.stderr.split()), arguments


def test_the_key_of_a_minion_is_that_of_its_configuration(tmp_path: Path) -> None:
    """Where its folders are elsewhere, its file says so."""
    program = Program(tmp_path / "bus.sock", tmp_path)
    pki, file = tmp_path / "pki", tmp_path / "minion.yaml"
    file.write_text(f"id: web1\npki_dir: {pki}\n")
    done = program("keys", "finger", "--minion", "-c", str(file))
    assert (done.code, f"{pki}' has no key yet" in done.err) == (78, True)
    with KeyFolder(pki, make=True) as folder:
        pair, _ = load_or_make_pair(folder, "minion")
    assert program("keys", "finger", "--minion", "-c", str(file)).lines == [pair.fingerprint]
