"""Webhooks in, against a real interface and broker."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest

from sylvite.api.hooks import FAILURES_MAX
from sylvite.testing.broker import BrokerProcess
from tests.api.hooking import HOOKS, OLDER, PLAIN, configure, events, github, hooked, post, standard
from tests.api.nodes import WITHIN_S, Api
from tests.faults.traffic import wait_until


class Place(NamedTuple):
    broker: BrokerProcess
    api: Api
    config: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Generator[Place]:
    folder = tmp_path_factory.mktemp("hooks")
    with BrokerProcess(folder / "bus") as broker, hooked(broker, folder) as api:
        yield Place(broker, api, folder / "hooks.yaml")


def test_a_delivery_becomes_an_event(place: Place) -> None:
    answer = post(place.api, "std", b'{"a": [1]}', standard("msg_1", b'{"a": [1]}'))
    assert (answer.status, answer.json["repeated"]) == (201, False)
    (event,) = [event for event in events(place.broker) if event.data["id"] == "msg_1"]
    assert (event.tag, event.sender, event.offset) == ("hooks/std", "hook:std", answer.json["offset"])
    assert event.data == {"hook": "std", "id": "msg_1", "headers": {}, "body": {"a": [1]}}


def test_github_and_gitlab(place: Place) -> None:
    body = b'{"ref": "refs/heads/main"}'
    assert post(place.api, "github", body, github(body, "push", "72d3162e")).status == 201
    token = {"X-Gitlab-Token": PLAIN.reveal(), "X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "13792a34"}
    assert post(place.api, "gitlab", body, token).status == 201
    found = {event.tag: event.data for event in events(place.broker)}
    assert found["hooks/github/push"]["headers"] == {"x-github-delivery": "72d3162e"}
    assert found["hooks/gitlab/Push_Hook"]["id"] == "13792a34"


def test_what_comes_again_makes_no_second_event(place: Place) -> None:
    first = post(place.api, "std", b"{}", standard("msg_again"))
    second = post(place.api, "std", b"{}", standard("msg_again", secrets=[OLDER]))
    assert (first.status, second.status, second.json["repeated"]) == (201, 200, True)
    assert first.json["id"] == second.json["id"]
    assert sum(event.data["id"] == "msg_again" for event in events(place.broker)) == 1


def test_at_once_from_many_sides_it_is_one_event(place: Place) -> None:
    headers = standard("msg_many")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        posting = [pool.submit(post, place.api, "std", b"{}", headers) for _ in range(8)]
        answers = [each.result() for each in posting]
    assert {answer.status for answer in answers} <= {200, 201}
    assert len({answer.json["offset"] for answer in answers}) == 1
    assert sum(event.data["id"] == "msg_many" for event in events(place.broker)) == 1


def test_it_is_known_after_a_restart(place: Place) -> None:
    headers = standard("msg_restart")
    first = post(place.api, "std", b"{}", headers)
    place.api.kill()
    place.broker.kill()
    place.broker.start()
    with place.api:
        second = post(place.api, "std", b"{}", headers)
    assert (second.status, second.json["id"]) == (200, first.json["id"])
    place.api.__enter__()


def test_strangers_learn_nothing(place: Place) -> None:
    """No signature, a wrong one, an old one, no such hook: one answer."""
    told: set[bytes] = set()
    for name, headers in (
        ("std", {}),
        ("std", {**standard("msg_x"), "webhook-signature": "v1,AAAA"}),
        ("std", standard("msg_y", away_s=-302)),
        ("shared", {"Authorization": "Bearer wrong-wrong-wrong-wrong"}),
        ("nothing", standard("msg_z")),
    ):
        answer = post(place.api, name, b"{}", headers)
        assert answer.status == 401
        told.add(answer.body)
    assert len(told) == 1
    assert b"urn:sylvite:problem:not_authenticated" in told.pop()
    refused = events(place.broker, "webhooks/refused")
    assert {event.data["hook"] for event in refused} == {"std", "shared", ""}
    assert all(event.data["address"] == "127.0.0.1" for event in refused)


def test_bodies_have_a_limit(place: Place) -> None:
    secret = {"Authorization": f"Bearer {PLAIN.reveal()}"}
    assert post(place.api, "shared", b"x" * 64, secret).status == 201
    assert post(place.api, "shared", b"x" * 65, secret).status == 413


def test_who_does_not_know_the_secret_learns_no_limit(place: Place) -> None:
    """Else it would say that there is such a hook."""
    wrong = {"Authorization": "Bearer wrong-wrong-wrong-wrong"}
    assert (
        post(place.api, "shared", b"x" * 65, wrong).status == post(place.api, "nothing", b"x" * 65, wrong).status == 401
    )


def test_a_hook_takes_so_many_a_second(tmp_path: Path) -> None:
    hooks = {"slow": {**HOOKS["std"], "per_second": 0.1}}
    with BrokerProcess(tmp_path / "bus") as broker, hooked(broker, tmp_path, hooks) as api:
        answers = [post(api, "slow", b"{}", standard(f"msg_{number}")) for number in range(2)]
        assert [answer.status for answer in answers] == [201, 429]
        assert 1 <= int(answers[1].headers["retry-after"]) <= 10
        assert len(events(broker)) == 1


def test_a_header_that_can_be_no_tag(place: Place) -> None:
    body = b"{}"
    answer = post(place.api, "github", body, github(body, "../../salt"))
    assert (answer.status, answer.json["code"]) == (400, "invalid_input")


def test_without_an_id_each_is_one_of_its_own(place: Place) -> None:
    secret = {"Authorization": PLAIN.reveal()}
    offsets = {post(place.api, "shared", b"same", secret).json["offset"] for _ in range(2)}
    named = {post(place.api, "shared", b"same", {**secret, "Idempotency-Key": "1.a"}).json["offset"] for _ in range(2)}
    assert (len(offsets), len(named)) == (2, 1)


def test_what_operators_see(place: Place) -> None:
    items = place.api.ask("GET", "/v1/hooks", place.api.token("status:read")).json["items"]
    assert [item["name"] for item in items] == [*HOOKS]
    assert all({"accepted", "repeated", "refused", "scheme", "tag"} <= item.keys() for item in items)
    assert place.api.ask("GET", "/v1/hooks").status == 401


def test_secrets_are_exchanged_while_it_runs(place: Place) -> None:
    """A file that is wrong leaves all as it was; a right one counts at once."""
    file = place.config.parent / "standard"
    before = file.read_text()
    file.chmod(0o644)
    os.kill(place.api.pid, signal.SIGHUP)
    log = place.api.log
    wait_until(lambda: "others may read it" in log.read_text(), within_s=WITHIN_S, what="the mistake is told")
    assert post(place.api, "std", b"{}", standard("msg_still")).status == 201
    file.chmod(0o600)
    file.write_text(OLDER.reveal())
    os.kill(place.api.pid, signal.SIGHUP)
    name = f"msg_{time.monotonic_ns()}"
    wait_until(
        lambda: post(place.api, "std", b"{}", standard(name)).status == 401,
        within_s=WITHIN_S,
        what="the secret is gone",
    )
    assert post(place.api, "std", b"{}", standard("msg_older", secrets=[OLDER])).status == 201
    file.write_text(before)


def test_nothing_of_a_secret_is_in_a_log(place: Place) -> None:
    printed = place.api.log.read_text() + place.broker.output()
    assert not [secret for secret in (PLAIN, OLDER) if secret.reveal() in printed]


def test_whoever_guesses_waits_and_others_do_not(place: Place) -> None:
    wrong = {**standard("msg_guess"), "webhook-signature": "v1,AAAA"}
    statuses = [post(place.api, "std", b"{}", wrong).status for _ in range(FAILURES_MAX + 1)]
    assert statuses[-1] == 429
    assert post(place.api, "std", b"{}", standard("msg_right", secrets=[OLDER])).status == 201


def test_a_start_with_hooks_that_cannot_be(tmp_path: Path) -> None:
    config = configure(tmp_path, {"bad": {**HOOKS["std"], "secret_file": "plain"}})
    with BrokerProcess(tmp_path / "bus") as broker:
        api = Api(broker, "--master", str(config))
        with pytest.raises(AssertionError, match=r"webhooks_in\.bad\.secret_file"):
            api.__enter__()
