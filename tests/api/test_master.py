"""Keys, minions and jobs of a master over /v1, from outside: a real master and a real minion."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keys import PublicKey, make_pair
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, Answer, Api
from tests.api.rest import Rest
from tests.daemons.nodes import WITHIN_S, until


class Caller:
    """Somebody with a token of a master."""

    def __init__(self, rest: Rest, *scopes: str, owner: str = "alice") -> None:
        self.rest = rest
        given = [word for scope in scopes for word in ("-s", scope)]
        made = subprocess.run(
            [sys.executable, "-m", "sylvite", "-q", "tokens", "create", owner, *given, "--dir", str(rest.site.data)],
            capture_output=True, text=True, timeout=WITHIN_S, check=True,
        )  # fmt: skip
        self.token = made.stdout.strip()

    def ask(self, method: str, path: str, **body: Any) -> Answer:
        text = json.dumps(body) if body else None
        return self.rest.ask(method, path, text, {"Authorization": f"Bearer {self.token}"})

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json


@pytest.fixture(scope="module")
def chief(rest: Rest) -> Caller:
    return Caller(rest, *EVERYTHING)


@pytest.fixture
def asking(rest: Rest, request: pytest.FixtureRequest) -> Generator[tuple[str, PublicKey]]:
    """A minion that waits to be let in: its id, and its key."""
    public = make_pair().public
    id_ = f"new-{public.fingerprint[:8].replace(':', '')}"
    with Keyring.open(rest.site.data / "keys") as keyring:
        keyring.ask(id_, public, "127.0.0.1", 1_800_000_000 * 10**9)
        yield id_, public
        for key in keyring.all_keys(id_):
            keyring.delete(id_, key.fingerprint, 1_800_000_002 * 10**9)


def state_of(chief: Caller, id_: str) -> str:
    found: str = chief.get(f"/v1/keys/{id_}")["state"]
    return found


# -- Keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_listed_with_their_states(chief: Caller, asking: tuple[str, PublicKey]) -> None:
    id_, public = asking
    items = {item["id"]: item for item in chief.get("/v1/keys")["items"]}
    assert items["minion-0042"]["state"] == "accepted"
    assert items["minion-0042"]["counts"] is True
    assert (items[id_]["state"], items[id_]["fingerprint"]) == ("pending", public.fingerprint)
    assert items[id_]["since"].endswith("Z")
    one = chief.get(f"/v1/keys/{id_}")
    assert one == {
        **items[id_], "public": public.pem, "first_seen": one["since"], "last_seen": one["since"], "others": [],
    }  # fmt: skip


def test_a_key_goes_its_way_and_each_step_is_an_event(chief: Caller, asking: tuple[str, PublicKey]) -> None:
    id_, public = asking
    for action, state in (("reject", "rejected"), ("accept", "accepted"), ("revoke", "revoked")):
        done = chief.ask("POST", f"/v1/keys/{id_}", action=action, fingerprint=public.fingerprint)
        assert done.status == 200, done
        assert (done.json["action"], done.json["state"]) == (action, state)
        assert state_of(chief, id_) == state
    assert chief.ask("POST", f"/v1/keys/{id_}", action="delete").json["state"] == "revoked"
    assert chief.ask("GET", f"/v1/keys/{id_}").status == 404
    events = chief.get(f"/v1/events?tag=salt/key&limit=1000&where=data.id%20%3D%3D%20%27{id_}%27")["items"]
    assert [event["data"]["act"] for event in events if event["data"]["act"] != "pending"] == [
        "rejected", "accepted", "revoked", "delete",
    ]  # fmt: skip


def test_only_the_key_that_was_looked_at_is_moved(chief: Caller, asking: tuple[str, PublicKey]) -> None:
    id_, public = asking
    other = make_pair().public
    with Keyring.open(chief.rest.site.data / "keys") as keyring:
        keyring.ask(id_, other, "127.0.0.2", 1_800_000_001 * 10**9)
    assert [item["state"] for item in chief.get(f"/v1/keys/{id_}")["others"]] == ["denied"]
    wrong = chief.ask("POST", f"/v1/keys/{id_}", action="accept", fingerprint=make_pair().public.fingerprint)
    assert (wrong.status, wrong.json["code"]) == (404, "no_such_key")
    denied = chief.ask("POST", f"/v1/keys/{id_}", action="accept", fingerprint=other.fingerprint)
    assert (denied.status, denied.json["code"]) == (409, "move_refused")
    assert state_of(chief, id_) == "pending"
    assert chief.ask("POST", f"/v1/keys/{id_}", action="accept", fingerprint=public.fingerprint.upper()).status == 200
    assert chief.ask("POST", f"/v1/keys/{id_}", action="accept").json["code"] == "move_refused"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"action": "burn"}, 400, "invalid_input"), ({"action": "accept", "fingerprint": "x"}, 400, "invalid_key"),
        ({"action": "accept", "all": True}, 400, "invalid_input"), ({"action": "accept"}, 404, "no_such_key"),
    ],
)  # fmt: skip
def test_a_move_that_cannot_be(chief: Caller, body: dict[str, Any], status: int, code: str) -> None:
    answer = chief.ask("POST", "/v1/keys/nobody", **body)
    assert (answer.status, answer.json["code"]) == (status, code)


# -- Minions ---------------------------------------------------------------------------------------------------------


def test_minions_with_and_without_grains(chief: Caller) -> None:
    (plain,) = [item for item in chief.get("/v1/minions")["items"] if item["id"] == "minion-0042"]
    assert (plain["present"], plain["reason"], "grains" in plain) == (True, "", False)
    assert plain["since"].endswith("Z")
    (whole,) = [item for item in chief.get("/v1/minions?grains=1")["items"] if item["id"] == "minion-0042"]
    assert whole["grains"]["id"] == "minion-0042"
    assert chief.get("/v1/minions/minion-0042") == whole
    assert chief.ask("GET", "/v1/minions/nobody").json["code"] == "not_found"
    assert chief.ask("GET", "/v1/minions?grains=yes").status == 400


# -- Jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_is_started_and_its_returns_come_in(chief: Caller) -> None:
    started = chief.ask("POST", "/v1/jobs", target="*", function="test.arg", arguments=[1, "a"], keywords={"k": 2})
    assert started.status == 202, started
    assert started.json["minions"] == ["minion-0042"]
    jid = started.json["jid"]
    until(lambda: bool(chief.ask("GET", f"/v1/jobs/{jid}").json.get("returns")))
    job = chief.get(f"/v1/jobs/{jid}")
    answer = job["returns"]["minion-0042"]
    assert (answer["retcode"], answer["success"], answer["return"]["args"]) == (0, True, [1, "a"])
    assert answer["return"]["kwargs"]["k"] == 2
    assert (job["function"], job["target"], job["target_type"], job["user"]) == ("test.arg", "*", "glob", "api:alice")
    assert (job["expected"], job["minions"], job["returned"], job["active"]) == (["minion-0042"], 1, 1, False)
    (listed,) = [item for item in chief.get("/v1/jobs?limit=1000")["items"] if item["jid"] == jid]
    assert listed == {name: job[name] for name in listed}
    assert jid not in {item["jid"] for item in chief.get(f"/v1/jobs?before={jid}")["items"]}


def test_returns_may_be_waited_for(chief: Caller) -> None:
    done = chief.ask("POST", "/v1/jobs", target=["minion-0042"], target_type="list", function="test.ping", timeout_s=20)
    assert (done.status, done.json["returns"]) == (
        200,
        {"minion-0042": {"return": True, "retcode": 0, "success": True}},
    )
    failed = chief.ask("POST", "/v1/jobs", target="*", function="no.such", timeout_s=20).json["returns"]["minion-0042"]
    assert failed["success"] is False
    assert failed["retcode"] != 0


def test_a_job_for_nobody_is_none(chief: Caller) -> None:
    answer = chief.ask("POST", "/v1/jobs", target="nobody*", function="test.ping")
    assert (answer.status, answer.json) == (202, {"jid": "", "minions": []})


def test_a_job_is_ended(chief: Caller) -> None:
    jid = chief.ask("POST", "/v1/jobs", target="*", function="test.sleep", arguments=[600]).json["jid"]
    until(lambda: chief.ask("GET", f"/v1/jobs/{jid}").status == 200)
    running = "/v1/jobs"
    until(
        lambda: bool(
            chief.ask("POST", running, target="*", function="saltutil.find_job", arguments=[jid], timeout_s=20).json[
                "returns"
            ]["minion-0042"]["return"]
        )
    )
    ended = chief.ask("DELETE", f"/v1/jobs/{jid}")
    assert (ended.status, ended.json["minions"]) == (202, ["minion-0042"])
    until(lambda: chief.get(f"/v1/jobs/{jid}")["returned"] == 1)
    assert chief.get(f"/v1/jobs/{jid}")["returns"]["minion-0042"]["success"] is False
    assert chief.ask("DELETE", f"/v1/jobs/{jid}").json == {"jid": "", "minions": []}


def test_functions_are_those_of_the_scope(rest: Rest, chief: Caller) -> None:
    some = Caller(rest, "jobs:run:test.*", owner="bob")
    assert some.ask("POST", "/v1/jobs", target="*", function="test.ping").status == 202
    for function in ("cmd.run", "testing.ping", "state.apply"):
        refused = some.ask("POST", "/v1/jobs", target="*", function=function)
        assert (refused.status, refused.json["code"]) == (403, "not_allowed")
    jid = chief.ask("POST", "/v1/jobs", target="*", function="sys.doc", timeout_s=20).json["jid"]
    until(lambda: chief.ask("GET", f"/v1/jobs/{jid}").status == 200)
    hidden = some.ask("DELETE", f"/v1/jobs/{jid}")
    assert (hidden.status, hidden.json["code"]) == (404, "no_such_job"), "he may neither run nor see it"
    seeing = Caller(rest, "jobs:run:test.*", "jobs:read", owner="bob")
    assert seeing.ask("DELETE", f"/v1/jobs/{jid}").status == 403
    assert some.ask("GET", f"/v1/jobs/{jid}").status == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"target": "*", "function": "ping"}, "invalid_input"), ({"target": "*", "function": "test.ping; x"}, "invalid_input"),
        ({"target": "*", "function": "test.ping", "timeout_s": 0}, "invalid_input"), ({"function": "test.ping"}, "invalid_input"),
        ({"target": "*", "target_type": "guess", "function": "test.ping"}, "invalid_target"),
        ({"target": "a and", "target_type": "compound", "function": "test.ping"}, "invalid_target"),
    ],
)  # fmt: skip
def test_a_job_that_cannot_be(chief: Caller, body: dict[str, Any], code: str) -> None:
    answer = chief.ask("POST", "/v1/jobs", **body)
    assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/jobs/20200101000000000000", 404, "no_such_job"), ("/v1/jobs/x", 400, "invalid_jid"),
        ("/v1/jobs?limit=0", 400, "invalid_setting"), ("/v1/jobs?before=x", 400, "invalid_jid"), ("/v1/keys/nobody", 404, "no_such_key"),
    ],
)  # fmt: skip
def test_what_is_not_there(chief: Caller, path: str, status: int, code: str) -> None:
    answer = chief.ask("GET", path)
    assert (answer.status, answer.json["code"]) == (status, code)


# -- Consumers, and the log ------------------------------------------------------------------------------------------


def test_who_reads_and_how_far_behind(chief: Caller) -> None:
    items = chief.get("/v1/consumers")["items"]
    (jobs,) = [item for item in items if item["kind"] == "cursor" and item["name"] == "jobs"]
    assert jobs["in_use"] is True
    assert jobs["behind"] >= 0
    assert {item["live"] for item in items if item["kind"] == "subscription"} <= {True, False}
    log = chief.get("/v1/log")
    assert log["next"] >= log["synced"] >= jobs["offset"] >= log["first"] == 0
    assert log["bytes"] > 0
    assert log["damaged"] == []


def test_a_broker_alone_has_no_minions(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        token = api.token(*EVERYTHING)
        assert api.ask("GET", "/v1/keys", token).json["code"] == "not_found"
        assert api.ask("GET", "/v1/minions", token).json == {"items": []}
        assert api.ask("GET", "/v1/jobs", token).json == {"items": []}
        assert api.ask("GET", "/v1/jobs/20200101000000000000", token).json["code"] == "no_such_job"
        started = api.ask("POST", "/v1/jobs", token, '{"target": "*", "function": "test.ping"}')
        assert (started.status, started.json["code"]) == (404, "not_found")
