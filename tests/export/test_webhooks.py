"""Webhooks out: real events, a real process, receivers of every mood."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.cli.main import main
from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from tests.daemons.nodes import WITHIN_S
from tests.export.receiver import Got, Receiver, Reply
from tests.export.sender import LOCAL, Sender, add, command, listed
from tests.faults.traffic import wait_until


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sender]:
    with BrokerProcess(tmp_path_factory.mktemp("webhooks") / "bus") as broker, Sender(broker) as process:
        yield process


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with Receiver() as found:
        yield found


def publish(sender: Sender, tag: str, count: int = 1) -> None:
    with Client.connect(sender.broker.socket) as client:
        for number in range(count):
            client.publish(tag, {"number": number})


def test_events_arrive_signed_and_in_order(sender: Sender, receiver: Receiver) -> None:
    secret = add(
        sender.broker, "first", receiver, "-t", "first/*", "--exclude", "first/not", "--where", "data.number != 2"
    )
    publish(sender, "other/a")
    publish(sender, "first/not")
    publish(sender, "first/a", 5)
    got = [receiver.next() for _ in range(4)]
    assert [(each.event["tag"], each.event["data"]["number"]) for each in got] == [("first/a", n) for n in (0, 1, 3, 4)]
    assert all(each.is_signed_with(secret) for each in got)
    one = got[0]
    assert one.headers["content-type"] == "application/json"
    assert one.headers["webhook-id"] == f"evt_{one.event['epoch']}_{one.event['offset']}"


def test_what_comes_between_adding_and_running_is_posted_too(tmp_path: Path, receiver: Receiver) -> None:
    with BrokerProcess(tmp_path / "bus") as broker:
        with Client.connect(broker.socket) as client:
            client.publish("a/before", {})
        assert command(broker, "add", "late", receiver.url, *LOCAL)["runs"] is False
        with Client.connect(broker.socket) as client:
            client.publish("a/after", {})
        with Sender(broker):
            assert receiver.next().event["tag"] == "a/after"


def test_an_event_is_tried_until_it_is_taken(sender: Sender, receiver: Receiver) -> None:
    """The same id each time, a time and a signature of its own, and those behind it wait."""
    replies = iter([Reply(500), Reply(302, {"location": receiver.url})])
    receiver.answer = lambda _: next(replies, Reply())
    secret = add(sender.broker, "again", receiver, "-t", "again/*")
    publish(sender, "again/a", 2)
    got = [receiver.next() for _ in range(4)]
    assert [each.event["data"]["number"] for each in got] == [0, 0, 0, 1]
    assert len({each.headers["webhook-id"] for each in got[:3]}) == 1
    assert all(each.is_signed_with(secret) for each in got)


def test_a_pause_that_is_asked_for_is_made(sender: Sender, receiver: Receiver) -> None:
    replies = iter([Reply(503, {"retry-after": "3"})])
    receiver.answer = lambda _: next(replies, Reply())
    add(sender.broker, "asks", receiver, "-t", "asks/*")
    publish(sender, "asks/a")
    first, second = receiver.next(), receiver.next()
    assert second.at_s - first.at_s >= 3


def test_a_slow_receiver_holds_up_nobody_else(sender: Sender, receiver: Receiver) -> None:
    never = threading.Event()
    with Receiver(lambda _: Reply(after=never)) as slow:
        add(sender.broker, "slow", slow, "-t", "both/*", "--timeout", "60s")
        add(sender.broker, "quick", receiver, "-t", "both/*")
        publish(sender, "both/a", 50)
        assert [event["data"]["number"] for event in receiver.events(50)] == list(range(50))
        assert len(slow.got) <= 1
        never.set()
        command(sender.broker, "remove", "slow", "-y")


def test_dead_letters(sender: Sender, receiver: Receiver) -> None:
    """What is not taken in time is kept, told, and can be posted once more; what is behind it goes on."""
    receiver.answer = lambda got: Reply(500 if got.event["data"].get("number") == 0 else 204)
    secret = add(sender.broker, "dead", receiver, "-t", "dead/*", "--give-up", "1s")
    with Client.connect(sender.broker.socket) as client, client.subscribe("webhooks/dead") as told:
        publish(sender, "dead/a", 2)
        event = told.next(WITHIN_S)
    assert event is not None
    assert (event.data["webhook"], event.data["tag"], event.data["reason"]) == ("dead", "dead/a", "it answers 500")
    wait_until(lambda: receiver.got[-1].event["data"]["number"] == 1, within_s=WITHIN_S, what="the next one arrives")
    (letter,) = command(sender.broker, "dead", "dead")
    assert (letter["event"], letter["body"]["data"]) == (event.data["event"], {"number": 0})
    assert listed(sender.broker, "dead")["dead"] == 1
    assert command(sender.broker, "replay", "dead", code=1)["error"]["code"] == "webhook_not_taken"
    receiver.answer = lambda _: Reply()
    assert command(sender.broker, "replay", "dead", str(letter["id"]))["status"] == 204
    assert receiver.got[-1].headers["webhook-id"] == letter["event"]
    assert receiver.got[-1].is_signed_with(secret)
    assert command(sender.broker, "dead", "dead") == []


def test_a_receiver_that_wants_no_more(sender: Sender, receiver: Receiver) -> None:
    """410 ends it; enabled again, it goes on with the event that was not taken."""
    receiver.answer = lambda _: Reply(410)
    add(sender.broker, "gone", receiver, "-t", "gone/*")
    publish(sender, "gone/a", 2)
    receiver.next()
    wait_until(lambda: bool(listed(sender.broker, "gone")["ended"]), within_s=WITHIN_S, what="it has ended")
    receiver.answer = lambda _: Reply()
    command(sender.broker, "enable", "gone")
    assert [event["data"]["number"] for event in receiver.events(2)] == [0, 1]


def test_removed_it_gets_nothing_and_leaves_nothing(sender: Sender, receiver: Receiver) -> None:
    add(sender.broker, "away", receiver, "-t", "away/*")
    publish(sender, "away/a")
    receiver.next()
    command(sender.broker, "remove", "away", "-y")
    with Client.connect(sender.broker.socket) as client:
        assert "webhooks/away" not in [cursor["name"] for cursor in client.ask("cursors")["cursors"]]
    publish(sender, "away/a")
    add(sender.broker, "away", receiver, "-t", "away/*")
    publish(sender, "away/b")
    assert receiver.next().event["tag"] == "away/b"


def test_a_restart_at_any_moment_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    with BrokerProcess(tmp_path / "bus") as broker:
        add(broker, "a", receiver, "-t", "a/*")
        with Client.connect(broker.socket) as client, client.publisher() as publisher:
            for number in range(300):
                publisher.publish("a/b", {"number": number})
        seen = 0
        while seen < 299:
            with Sender(broker) as process:
                got = receiver.next()
                for _ in range(40):
                    got = receiver.next() if got.event["data"]["number"] < 299 else got
                seen = got.event["data"]["number"]
                process.kill()
    numbers = [got.event["data"]["number"] for got in receiver.got]
    firsts = list(dict.fromkeys(numbers))
    assert firsts == list(range(300))


def test_attempts_are_remembered_over_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    """Else a process that is started again and again would never give up."""
    receiver.answer = lambda _: Reply(500)
    with BrokerProcess(tmp_path / "bus") as broker:
        add(broker, "a", receiver, "-t", "a/*", "--give-up", "1h")
        with Client.connect(broker.socket) as client:
            client.publish("a/b", {})
        with Sender(broker) as process:
            wait_until(lambda: listed(broker, "a")["attempts"] > 0, within_s=WITHIN_S, what="an attempt")
            process.kill()
        before = listed(broker, "a")
        with Sender(broker):
            wait_until(lambda: listed(broker, "a")["attempts"] > before["attempts"], within_s=WITHIN_S, what="one more")
        assert listed(broker, "a")["event"] == before["event"]


def test_webhooks_of_the_configuration(tmp_path: Path, receiver: Receiver) -> None:
    """Read again at SIGHUP; signed with both secrets while one is exchanged for the other."""
    older, newer = "whsec_" + "b2xkZXI" * 5 + "A", "whsec_" + "bmV3ZXI" * 5 + "A"
    file = tmp_path / "secret"
    file.write_text(f"{older}\n")
    file.chmod(0o600)
    config = tmp_path / "master.yaml"

    def configure(tags: str) -> None:
        wanted = {
            "url": receiver.url, "secret_file": str(file), "tags": tags, "allow_http": True, "allow_networks": "127.0.0.0/8",
            "give_up": "2h",
        }  # fmt: skip
        config.write_text(json.dumps({"webhooks_out": {"conf": wanted}}))

    configure("one/*")
    with BrokerProcess(tmp_path / "bus") as broker, Sender(broker, "--master", str(config)) as process:
        with Client.connect(broker.socket) as client:

            def is_followed(tag: str) -> bool:
                client.publish(tag, {})
                return any(got.event["tag"] == tag for got in receiver.got)

            wait_until(lambda: is_followed("one/a"), within_s=WITHIN_S, what="the first tags", every_s=0.05)
            file.write_text(f"{newer}\n{older}\n")
            configure("two/*")
            os.kill(process.pid, signal.SIGHUP)
            wait_until(lambda: is_followed("two/a"), within_s=WITHIN_S, what="the second tags", every_s=0.05)
        last = receiver.got[-1]
        assert len(last.headers["webhook-signature"].split()) == 2
        error = command(broker, "add", "x", "http://127.0.0.1/", code=78)["error"]
        assert "in the clear" in error["message"]
        log = process.log.read_text()
        assert older not in log
        assert newer not in log


def test_what_is_told_of_a_webhook_is_not_posted_to_it(sender: Sender, receiver: Receiver) -> None:
    """One that wants all events, and takes none of one kind, would else have more with each that it does not take."""

    def answer(got: Got) -> Reply:
        return Reply(422 if got.event["tag"] == "loop/a" else 204)

    receiver.answer = answer
    add(sender.broker, "loop", receiver, "--give-up", "0s")
    publish(sender, "loop/a")
    wait_until(lambda: listed(sender.broker, "loop")["dead"] == 1, within_s=WITHIN_S, what="it is dead")
    publish(sender, "loop/b")
    wait_until(
        lambda: any(got.event["tag"] == "loop/b" for got in receiver.got), within_s=WITHIN_S, what="the next arrives"
    )
    assert not [
        got for got in receiver.got if got.event["tag"] == "webhooks/dead" and got.event["data"]["webhook"] == "loop"
    ]


def test_a_test_and_what_the_list_says(sender: Sender, receiver: Receiver) -> None:
    secret = add(sender.broker, "tried", receiver, "-t", "tried/*")
    assert command(sender.broker, "test", "tried")["status"] == 204
    got = receiver.next()
    assert got.event["tag"] == "webhooks/test"
    assert got.is_signed_with(secret)
    receiver.answer = lambda _: Reply(404)
    assert "404" in command(sender.broker, "test", "tried", code=1)["error"]["message"]
    assert command(sender.broker, "test", "nobody", code=1)["error"]["code"] == "no_such_webhook"


def test_it_is_said_where_nothing_posts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bus").mkdir(mode=0o700)
    place = ("--dir", str(tmp_path / "bus"), "--socket", str(tmp_path / "none.sock"))
    assert main(["webhooks", "add", "a", "https://a.test/", *place]) == 0
    assert "webhooks run" in capsys.readouterr().err
    assert main(["webhooks", "list", *place]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split() == ["a", "ok", "-", "0", "https://a.test/", "all"]
    assert "nothing posts to them" in printed.err


@pytest.mark.parametrize(
    "arguments", [("add", "one", "https://example.com"), ("list",), ("remove", "one"), ("test", "one"), ("dead",), ("run",)]
)  # fmt: skip
def test_a_folder_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert main(["webhooks", *arguments, "--dir", str(tmp_path / "none")]) == 78
    assert "is no folder; say with --dir" in capsys.readouterr().err


def test_one_process_posts(sender: Sender) -> None:
    """Another one ends, and keeps nobody waiting: a part of a master is not to hold up the others."""
    with Sender(sender.broker) as second:
        assert second.wait() == 75
        assert "in use by process" in second.log.read_text()
