"""What a static web client of Salt's API, such as SaltGUI, asks for: at log-in, and on its pages for minions, keys, jobs and events.

It sends JSON as `text/plain`, looks at status codes alone where something fails, opens its stream with nothing but the
cookie, listens to unnamed messages only, and logs its user out when `/stats` is not there.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keys import make_pair
from tests.api.nodes import Answer, Stream
from tests.api.rest import SECRET, Rest
from tests.daemons.nodes import WITHIN_S

MINION = "minion-0042"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


def ask(rest: Rest, path: str, body: object = None, *, token: str = "", method: str = "", **headers: str) -> Answer:
    """Ask as its `fetch` does: JSON without saying so, and the token in a header, empty where there is none."""
    sent = {
        "Accept": "application/json", "Cache-Control": "no-cache", "X-Auth-Token": token, "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors", **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    if body is not None:
        sent |= {"Content-Type": "text/plain;charset=UTF-8", "Origin": f"http://127.0.0.1:{rest.port}"}
    return rest.ask(
        method or ("GET" if body is None else "POST"), path, None if body is None else json.dumps(body), sent
    )


def call(rest: Rest, token: str, client: str, fun: str, **more: Any) -> Any:
    answer = ask(rest, "/", {"client": client, "fun": fun, **more}, token=token)
    assert answer.status == 200, (fun, answer)
    (found,) = answer.json["return"]
    if client == "wheel":
        assert found["tag"].startswith("salt/wheel/2")
        assert found["data"]["success"] is True, found
        return found["data"]["return"]
    return found


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.fixture(scope="module")
def logged_in(rest: Rest) -> Answer:
    answer = ask(rest, "/login", {"username": "saltdev", "password": SECRET, "eauth": "sharedsecret"})
    assert answer.status == 200, answer
    return answer


@pytest.fixture(scope="module")
def token(logged_in: Answer) -> str:
    found: str = logged_in.json["return"][0]["token"]
    return found


def test_its_files_are_served_and_those_that_are_not_there_are_missing(rest: Rest) -> None:
    """An HTML page in the place of a missing text would be read as a list of ways to log in."""
    page = rest.ask("GET", "/", None, {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (page.status, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert ask(rest, "/").json["return"] == "Welcome"
    assert rest.ask("GET", "/", None, {"Accept": "*/*"}).json["return"] == "Welcome"
    assert rest.ask("GET", "/app").body == page.body == rest.ask("GET", "/static/index.html").body
    for name in ("minions.txt", "salt-auth.txt", "salt-motd.txt", "salt-motd.html"):
        assert ask(rest, f"/static/{name}", Accept="text/plain").status == 404
    script = rest.site.folder / "static" / "index.js"
    script.write_text("export const one = 1;\n")
    assert "javascript" in ask(rest, "/static/index.js", Accept="*/*").headers["content-type"]


def test_a_log_in_has_what_is_read_of_it(logged_in: Answer) -> None:
    (found,) = logged_in.json["return"]
    assert found["perms"]
    assert (found["user"], found["eauth"]) == ("saltdev", "sharedsecret")
    assert isinstance(found["expire"], float)
    assert isinstance(found["start"], float)
    assert logged_in.headers["x-auth-token"] == found["token"]
    first, *attributes = logged_in.headers["set-cookie"].split("; ")
    assert first == f"session_id={found['token']}"
    assert {"HttpOnly", "Path=/"} <= set(attributes)
    assert "samesite=strict" in [each.lower() for each in attributes]
    (life,) = [int(each.partition("=")[2]) for each in attributes if each.startswith("Max-Age=")]
    assert abs(life - (found["expire"] - found["start"])) < 60, "the cookie lives as long as the token"


def test_a_wrong_password_is_401(rest: Rest) -> None:
    answer = ask(rest, "/login", {"username": "nobody-here", "password": "wrong", "eauth": "sharedsecret"})
    assert answer.status == 401


def test_an_empty_token_is_none_and_a_header_wins_over_the_cookie(rest: Rest, logged_in: Answer, token: str) -> None:
    assert ask(rest, "/stats").status == 401
    assert ask(rest, "/stats", token=token).status == 200
    assert ask(rest, "/stats", Cookie=cookie_of(logged_in)).status == 200
    assert ask(rest, "/stats", token="0" * 40, Cookie=cookie_of(logged_in)).status == 401


def test_all_that_it_asks_at_log_in_and_on_its_first_page_at_once(rest: Rest, token: str) -> None:
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("wheel", "config.values", {}),
        ("runner", "state.orchestrate_show_sls", {"arg": ["*"]}),
        ("wheel", "key.list_all", {}),
        ("local", "beacons.list_available", {"kwarg": {"return_yaml": False}, "tgt_type": "glob", "tgt": "*"}),
        ("wheel", "minions.connected", {}),
        ("local", "grains.items", {"tgt": "*", "tgt_type": "glob", "full_return": False}),
        ("runner", "manage.versions", {}),
        ("runner", "jobs.list_jobs", {}),
        ("runner", "jobs.active", {}),
        ("wheel", "key.finger", {"match": "*"}),
        ("local", "test.providers", {"tgt": "*", "tgt_type": "glob"}),
        ("runner", "jobs.list_jobs", {"search_function": ["state.highstate", "state.apply"]}),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        asked = [pool.submit(call, rest, token, client, fun, **more) for client, fun, more in calls]
        answers = [each.result() for each in asked]
    values, orchestrations, keys, beacons, connected, grains, versions, jobs, active, fingers, providers, states = (
        answers
    )
    assert isinstance(values, dict)
    assert SECRET not in json.dumps(values)
    assert isinstance(orchestrations, dict)
    assert keys["minions"] == [MINION]
    assert all(isinstance(keys[kind], list) for kind in ("minions_pre", "minions_rejected", "minions_denied"))
    assert MINION in beacons
    assert connected == [MINION]
    assert grains[MINION]["id"] == MINION
    assert MINION in versions["Up to date"]
    assert all(isinstance(job["StartTime"], str) for job in jobs.values())
    assert isinstance(active, dict)
    assert re.fullmatch("[0-9a-fA-F:]+", fingers["minions"][MINION])
    assert isinstance(providers[MINION], dict | str)
    assert states == {}


def test_a_function_that_is_not_there_is_said_by_the_minion(rest: Rest, token: str) -> None:
    found = call(rest, token, "local", "pillar.obfuscate", tgt="*", tgt_type="glob")
    assert found[MINION].startswith("'pillar.obfuscate' is not available.")
    found = call(rest, token, "local", "mine.valid", tgt="*", tgt_type="glob")
    assert found == {MINION: "'mine.valid' is not available."}


def test_an_asynchronous_job_is_heard_of_and_looked_up(rest: Rest, logged_in: Answer, token: str) -> None:
    """The stream has only the cookie; messages have no name, and data that is an object."""
    with rest.stream("/events", Cookie=cookie_of(logged_in), Accept="text/event-stream") as stream:
        assert stream.answer.status == 200
        assert "content-encoding" not in {name.lower() for name, _ in stream.answer.getheaders()}
        assert stream.answer.getheader("X-Accel-Buffering") == "no"
        asked = call(
            rest, token, "local_async", "test.arg", tgt="*", tgt_type="glob", arg=["a", 3], kwarg={"b": "c"},
            full_return=False,
        )  # fmt: skip
        assert asked["minions"] == [MINION]
        jid = asked["jid"]
        new = next_event(stream, f"salt/job/{jid}/new")
        assert new["minions"] == [MINION]
        returned = next_event(stream, f"salt/job/{jid}/ret/{MINION}")
    assert (returned["id"], returned["success"], returned["retcode"], returned["fun"]) == (MINION, True, 0, "test.arg")
    assert STAMP.fullmatch(returned["_stamp"])
    job = looked_up(rest, token, jid)
    assert job["Function"] == "test.arg"
    assert job["Minions"] == [MINION]
    assert job["Result"][MINION]["return"]["args"] == ["a", 3]
    assert job["Result"][MINION]["return"]["kwargs"]["b"] == "c"
    assert job["Arguments"] == ["a", 3, {"__kwarg__": True, "b": "c"}]
    assert "Cannot contact" in call(rest, token, "runner", "jobs.list_job", jid="20200101000000000000")["Error"]


def looked_up(rest: Rest, token: str, jid: str) -> Any:
    """The part of the master that keeps jobs may be a moment behind."""
    until = time.monotonic() + WITHIN_S
    while True:
        found = call(rest, token, "runner", "jobs.list_job", jid=jid)
        if found.get("Result") or time.monotonic() > until:
            return found


def next_event(stream: Stream, tag: str) -> dict[str, Any]:
    """Return the data of the next event with a tag; every line of the stream is one that an `EventSource` without names hears."""
    while line := stream.answer.readline().decode():
        assert not line.startswith("event:"), line
        assert len(line) < 65_536, "readers that go by lines have that much"
        if line.startswith("data: "):
            event = json.loads(line[6:])
            assert sorted(event) == ["data", "tag"]
            if event["tag"] == tag:
                data: dict[str, Any] = event["data"]
                return data
    raise AssertionError(f"the stream has ended before {tag}")


def test_keys_are_accepted_rejected_and_deleted_by_lists_and_globs(rest: Rest, logged_in: Answer, token: str) -> None:
    with rest.stream("/events", Cookie=cookie_of(logged_in)) as stream:
        assert stream.answer.status == 200
        pend(rest, "new1", "new2", "new3")
        assert sorted(call(rest, token, "wheel", "key.list_all")["minions_pre"]) == ["new1", "new2", "new3"]
        fingers = call(rest, token, "wheel", "key.finger", match="new1")
        assert re.fullmatch("[0-9a-fA-F:]+", fingers["minions_pre"]["new1"])
        call(rest, token, "wheel", "key.accept", match="new1,new2")
        accepted: set[str] = set()
        while len(accepted) < 2:
            heard = next_event(stream, "salt/key")
            assert heard["result"] is True
            if heard["act"] == "accepted":
                accepted.add(heard["id"])
        assert accepted == {"new1", "new2"}
    call(rest, token, "wheel", "key.reject", match="new3")
    found = call(rest, token, "wheel", "key.list_all")
    assert sorted(found["minions"]) == [MINION, "new1", "new2"]
    assert found["minions_rejected"] == ["new3"]
    call(rest, token, "wheel", "key.accept", match="new3", include_rejected=True)
    call(rest, token, "wheel", "key.delete", match="new*")
    found = call(rest, token, "wheel", "key.list_all")
    assert (found["minions"], found["minions_pre"], found["minions_rejected"]) == ([MINION], [], [])


def pend(rest: Rest, *ids: str) -> None:
    """Let minions ask for the first time: their keys are pending."""
    with Keyring.open(rest.site.data / "keys") as keyring:
        for id_ in ids:
            keyring.ask(id_, make_pair().public, "127.0.0.1", time.time_ns())


def test_its_session_check_and_its_log_out(rest: Rest) -> None:
    """`/stats` each minute; `/logout` again for each call that was on its way, without a token."""
    token = rest.log_in()
    assert ask(rest, "/stats", token=token).status == 200
    for again in (token, "", token):
        answer = ask(rest, "/logout", {}, token=again)
        assert (answer.status, answer.json) == (200, {"return": "Your token has been cleared"})
    assert ask(rest, "/stats", token=token).status == 401


def test_other_clients_paths(rest: Rest, token: str) -> None:
    """Slashes at the end and two at the beginning; an empty body at log-out; a login form; Accept of JSON at the stream."""
    for path in ("/minions/", "//minions", f"/minions/{MINION}/", "/jobs/", "/keys/"):
        assert ask(rest, path, token=token).status == 200, path
    assert rest.ask("POST", "//", json.dumps([{"client": "local", "tgt": "*", "fun": "test.ping"}]), {
        "Content-Type": "application/json", "Accept": "application/json", "X-Auth-Token": token,
    }).json == {"return": [{MINION: True}]}  # fmt: skip
    with rest.stream("/events", Accept="application/json", X_Auth_Token=token) as stream:
        assert stream.answer.status == 200
    empty = rest.ask("POST", "/logout", "", {"Content-Type": "application/json", "X-Auth-Token": rest.log_in()})
    assert empty.json == {"return": "Your token has been cleared"}
