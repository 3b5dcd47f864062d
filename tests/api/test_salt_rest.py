"""Salt's REST API: every exchange that was recorded with the real one, asked of ours; and what the recordings do not show."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import Any, NamedTuple, cast

import pytest
import yaml

from sylvite import Client
from sylvite.jobs.jid import JidMaker
from tests.api.rest import JSON, PERMS, SECRET, Rest
from tests.daemons.nodes import WITHIN_S, until
from tests.docs.blocks import PROJECT

GOLDEN = PROJECT / "tests" / "golden" / "rest"
OTHERWISE = {
    "rest_events_token_query": (200, "Salt's documentation shows it, and it works here; today's Salt refuses it"),
    "rest_events_salt_token_query": (200, "the same"),
    "rest_events_post": (405, "Salt's has a mistake there, and answers 500"),
}
"""Where ours answers with another status, and why."""


class Recorded(NamedTuple):
    """An exchange of a transcript: what curl was told, and what came."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None
    status: int
    answered: dict[str, str]
    content: str


def recorded(name: str) -> Recorded:
    command, _, rest_ = (GOLDEN / f"{name}.txt").read_text().partition("\n")
    words = shlex.split(command.removeprefix("# $ "))
    method, headers, data, path = "", dict[str, str](), list[str](), ""
    follows = iter(words[1:])
    for word in follows:
        match word:
            case "-X":
                method = next(follows)
            case "-H":
                key, _, value = next(follows).partition(": ")
                headers[key] = value
            case "-d":
                data.append(next(follows))
            case "--cookie":
                headers["Cookie"] = next(follows)
            case "-I":
                method = "HEAD"
            case "--max-time":
                next(follows)
            case _ if word.startswith("http"):
                path = re.sub(r"^http://[^/]*", "", word)
            case _:
                assert word.startswith("-"), word
    if data:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        method = method or "POST"
    head, _, content = rest_.partition("\n\n")
    first, *lines = head.splitlines()
    answered = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    body = "&".join(data) if data else None
    return Recorded(
        method or "GET", path, headers, body, int(first.split()[1]), answered, content.partition("\n--- exit")[0]
    )


def shape(value: Any) -> Any:
    """Return the form of a value: keys and types, without what differs from run to run."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [shape(inner) for inner in cast("list[Any]", value)]
    return type(value).__name__


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.txt") if path.stem != "rest_ws"))
def test_as_salt_answers(rest: Rest, session: str, name: str) -> None:
    asked = recorded(name)
    fill = {"@TOKEN@": session, "testbed-only-secret": SECRET}
    path, body = asked.path, asked.body
    headers = dict(asked.headers)
    for placeholder, value in fill.items():
        path = path.replace(placeholder, value)
        body = None if body is None else body.replace(placeholder, value)
        headers = {key: inner.replace(placeholder, value) for key, inner in headers.items()}
    status = OTHERWISE.get(name, (asked.status, ""))[0]
    if path.startswith("/events") and status == 200 and asked.method != "HEAD":
        with rest.stream(path, **headers) as stream:
            assert stream.answer.status == status
            assert stream.answer.headers["content-type"] == "text/event-stream;charset=utf-8"
            assert stream.answer.headers["referrer-policy"] == "no-referrer"
            assert stream.answer.readline() == b"retry: 400\n"
            rest.ask("POST", "/hook/golden/sse", '{"n": 1}', {**JSON, "X-Auth-Token": session})
            lines = [stream.answer.readline().decode() for _ in range(3)]
        assert lines[0] == "tag: salt/netapi/hook/golden/sse\n"
        assert re.match(
            r'data: \{"data": \{.*"_stamp": "[^"]*\+00:00"\}, "tag": "salt/netapi/hook/golden/sse"\}\n', lines[1]
        )
        assert lines[2] == "\n"
        return
    answer = rest.ask(asked.method, path, body, headers)
    assert answer.status == status
    if status == 200:
        assert answer.headers["content-type"] == asked.answered["content-type"]
        if asked.content and asked.method != "HEAD":
            expected, got = json.loads(asked.content), answer.json
            if name == "rest_root_get":
                expected["clients"].remove("destroy")  # An accident of how Salt lists its methods.
                assert got == expected
            elif name == "rest_run_wheel":
                got["return"][0]["data"]["return"].pop("local")
                expected["return"][0]["data"]["return"].pop("local")
            assert shape(got) == shape(expected)
            assert list(got) == list(expected)
    else:
        assert answer.headers["content-type"] == "application/problem+json"
    if name == "rest_login":
        assert answer.headers["x-auth-token"] == answer.json["return"][0]["token"]
        assert answer.json["return"][0]["perms"] == PERMS
        assert answer.headers["set-cookie"].startswith(
            f"session_id={answer.headers['x-auth-token']}; HttpOnly; Max-Age=43200;"
        )


def test_a_hook_is_an_event(rest: Rest, session: str) -> None:
    with rest.stream("/events", X_Auth_Token=session) as stream:
        rest.ask(
            "POST",
            "/hook//deploy/web/",
            "a=1&b=2&b=3",
            {"Content-Type": "application/x-www-form-urlencoded", "X-Auth-Token": session},
        )
        block = next(block for block in stream.blocks() if block["tag"].startswith("salt/netapi"))
    data = json.loads(block["data"])["data"]
    assert block["tag"] == "salt/netapi/hook/deploy/web"
    assert (data["body"], data["post"]) == ("a=1&b=2&b=3", {"a": "1", "b": ["2", "3"]})
    assert data["headers"]["Remote-Addr"] == "127.0.0.1"
    assert session not in json.dumps(data), "a secret in an event"


def test_what_could_not_be_answered_is_not_begun(rest: Rest, session: str) -> None:
    kind = {"Content-Type": "application/json", "X-Auth-Token": session}
    with rest.stream("/events", X_Auth_Token=session) as stream:
        assert rest.ask("POST", "/hook/first", "{}", {**kind, "Accept": "image/png"}).status == 406
        assert rest.ask("POST", "/hook/second", "{}", kind).status == 200
        block = next(block for block in stream.blocks() if block["tag"].startswith("salt/netapi"))
    assert block["tag"] == "salt/netapi/hook/second"


def test_jobs_minions_and_keys(rest: Rest, session: str) -> None:
    with_token = {**JSON, "X-Auth-Token": session}
    started = rest.ask("POST", "/minions", json.dumps({"tgt": "*", "fun": "test.echo", "arg": ["x"]}), with_token)
    assert started.status == 202
    jid = started.json["return"][0]["jid"]
    assert started.json == {
        "return": [{"jid": jid, "minions": ["minion-0042"]}],
        "_links": {"jobs": [{"href": f"/jobs/{jid}"}]},
    }
    until = time.monotonic() + WITHIN_S
    while not (found := rest.ask("GET", f"/jobs/{jid}", headers=with_token).json)["return"][0]:
        assert time.monotonic() < until
    assert found["return"] == [{"minion-0042": "x"}]
    assert found["info"][0]["Function"] == "test.echo"
    assert jid in rest.ask("GET", "/jobs", headers=with_token).json["return"][0]
    grains = rest.ask("GET", "/minions/minion-0042", headers=with_token).json["return"][0]["minion-0042"]
    assert grains["id"] == "minion-0042"
    assert rest.ask("GET", "/keys", headers=with_token).json["return"]["minions"] == ["minion-0042"]
    fingers = rest.ask("GET", "/keys/minion-0042", headers=with_token).json["return"]["minions"]
    assert re.fullmatch(r"([0-9a-f]{2}:){31}[0-9a-f]{2}", fingers["minion-0042"])
    assert rest.ask("GET", "/stats", headers=with_token).json == {}
    assert rest.ask("GET", "/stats").status == 401


def test_clients(rest: Rest, session: str) -> None:
    assert (
        rest.run(session, client="local", tgt="minion-0042", fun="test.ping", full_return=True)["minion-0042"]["ret"]
        is True
    )
    assert rest.run(session, client="local", tgt=["minion-0042"], fun="test.ping") == {"minion-0042": True}
    assert rest.run(session, client="local", tgt="minion-00*", expr_form="glob", fun="test.ping", batch=None) == {
        "minion-0042": True
    }
    given = rest.run(session, client="local", tgt="*", fun="test.arg", arg=["1", "a=2"], kwarg={"b": 3})["minion-0042"]
    assert (given["args"], given["kwargs"]["a"], given["kwargs"]["b"]) == ([1], 2, 3)
    assert (
        "'nosuch.fun' is not available." in rest.run(session, client="local", tgt="*", fun="nosuch.fun")["minion-0042"]
    )
    assert rest.run(session, client="local_batch", tgt="*", fun="test.ping", batch="50%") == {"minion-0042": True}
    assert rest.run(session, client="local_subset", tgt="*", fun="test.ping", subset=1) == {"minion-0042": True}
    assert set(rest.run(session, client="local_async", tgt="*", fun="test.ping")) == {"jid", "minions"}
    assert rest.run(session, client="local", tgt="nobody", fun="test.ping") == {}
    ticket = rest.run(session, client="runner_async", fun="test.arg", arg=["x"])
    assert ticket["tag"] == f"salt/run/{ticket['jid']}"
    full = rest.run(session, client="runner", fun="test.arg", arg=["x"], y="5", full_return=True)
    assert full["data"]["return"] == {"args": ["x"], "kwargs": {"y": "5"}}
    assert rest.run(session, client="wheel_async", fun="key.list_all")["tag"].startswith("salt/wheel/")


def test_tokens_and_run_without_a_session(rest: Rest) -> None:
    who = {"username": "saltdev", "password": SECRET, "eauth": "sharedsecret"}
    made = rest.ask("POST", "/token", json.dumps([who]), JSON)
    (token,) = made.json
    assert set(token) == {"start", "expire", "name", "eauth", "token"}
    assert re.fullmatch("[0-9a-f]{64}", token["token"])
    low = {"client": "local", "tgt": "*", "fun": "test.ping"}
    for shown in ({"token": token["token"]}, who):
        answer = rest.ask("POST", "/run", json.dumps([{**low, **shown}]), JSON)
        assert answer.json == {"return": [{"minion-0042": True}]}
    assert rest.ask("POST", "/run", json.dumps([low]), JSON).status == 401
    short = rest.ask("POST", "/token", json.dumps({"username": "saltdev"}), JSON)
    assert (short.status, short.json["detail"]) == (400, 'Require "username", "password", and "eauth" params')


def test_what_the_master_s_file_does_not_allow(rest: Rest) -> None:
    eve, bob = rest.log_in("eve"), rest.log_in("bob")

    def status(token: str, **low: Any) -> int:
        return rest.ask("POST", "/", json.dumps(low), {**JSON, "X-Auth-Token": token}).status

    assert status(bob, client="local", tgt="*", fun="test.ping") == 200
    assert status(bob, client="local", tgt="*", fun="test.pings") == 403
    assert status(bob, client="local", tgt="*", fun=["test.ping", "test.echo"], arg=[[], ["x"]]) == 403
    assert status(bob, client="local_async", tgt="*", fun="cmd.run", arg=["id"]) == 403
    assert status(bob, client="runner", fun="test.arg") == 200
    assert status(bob, client="runner", fun="jobs.list_jobs") == 403
    assert status(bob, client="runner_async", fun="jobs.list_jobs") == 403
    assert status(bob, client="wheel", fun="key.list_all") == 403
    assert status(eve, client="local", tgt="*", fun="test.ping") == 403, "minion-0042 is none of her minions"
    assert rest.ask("GET", "/keys", headers={"X-Auth-Token": bob}).status == 403
    nobody = rest.ask(
        "POST", "/login", json.dumps({"username": "ann", "password": SECRET, "eauth": "sharedsecret"}), JSON
    )
    assert nobody.status == 401, "a user without permissions"


def test_a_job_with_a_jid_of_one_s_own(rest: Rest, session: str) -> None:
    """It has that jid, once; where it may not be run, who waits for it by its jid hears so, and not what else was said."""
    jid = JidMaker().make(time.time_ns())
    low = {"client": "local_async", "tgt": "*", "fun": "test.ping", "jid": jid}
    assert rest.run(session, **low) == {"jid": jid, "minions": ["minion-0042"]}
    with Client.connect(rest.site.bus) as bus:
        bus.wait(f"salt/job/{jid}/ret/minion-0042", since="oldest", timeout_s=WITHIN_S)

        def is_taken() -> bool:
            answer = rest.ask("POST", "/", json.dumps(low), {**JSON, "X-Auth-Token": session})
            return answer.status == 400 and "there is a job" in answer.body.decode()

        until(is_taken)
        bob, other = rest.log_in("bob"), JidMaker().make(time.time_ns())
        refused = {**low, "fun": "cmd.run", "arg": ["id"], "jid": other, "username": "bob", "password": "secret"}
        assert rest.ask("POST", "/", json.dumps(refused), {**JSON, "X-Auth-Token": bob}).status == 403
        event = bus.wait(f"salt/job/{other}/error", since="oldest", timeout_s=WITHIN_S)
        assert event.data["error"] == {"name": "AuthorizationError", "message": "Authorization error occurred."}
        assert (event.data["fun"], event.data["user"]) == ("cmd.run", "bob")
        assert "secret" not in str(event.data)
    for wrong in ("nonsense", "../../x", f"{other}/new"):
        answer = rest.ask("POST", "/", json.dumps({**low, "jid": wrong}), {**JSON, "X-Auth-Token": session})
        assert answer.status == 400


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        ("{bad", "application/json", 400, "Invalid JSON document"), ('"x"', "application/json", 400, "Lowstates must be a list"),
        ('{"client": "fax"}', "application/json", 400, "Invalid client specified: 'fax'"),
        ('{"client": "ssh"}', "application/json", 400, "Client disabled: 'ssh'. Add to 'netapi_enable_clients'"),
        ('{"client": "local", "fun": "test.ping"}', "application/json", 400, "tgt must say"),
        ('{"client": "local", "tgt": "*"}', "application/json", 400, "fun must be the name"),
        ('{"client": "local", "tgt": "a:b", "tgt_type": "pillar", "fun": "test.ping"}', "application/json", 400, "pillar"),
        ('{"client": "local", "tgt": "*", "fun": "test.ping", "timeout": "soon"}', "application/json", 400, "timeout must be"),
        ("<a/>", "text/xml", 406, "is not read"), ("a: [", "application/x-yaml", 400, "the body"), ("client=runner", "text/csv", 406, "is not read"),
    ],
)  # fmt: skip
def test_bad_input(rest: Rest, session: str, body: str, kind: str, status: int, said: str) -> None:
    answer = rest.ask("POST", "/", body, {"Content-Type": kind, "X-Auth-Token": session})
    assert (answer.status, said in answer.json["detail"]) == (status, True), answer


def test_other_forms(rest: Rest, session: str) -> None:
    low = {"client": "local", "tgt": "*", "fun": "test.ping"}
    as_yaml = rest.ask(
        "POST",
        "/",
        yaml.safe_dump([low]),
        {"Content-Type": "application/x-yaml", "Accept": "application/x-yaml", "X-Auth-Token": session},
    )
    assert as_yaml.headers["content-type"] == "application/x-yaml"
    assert yaml.safe_load(as_yaml.body) == {"return": [{"minion-0042": True}]}
    as_text = rest.ask("POST", "/", json.dumps(low), {"Content-Type": "text/plain", "X-Auth-Token": session})
    assert as_text.json == {"return": [{"minion-0042": True}]}
    assert rest.ask("GET", "/", headers={"Accept": "image/png"}).status == 406
    page = rest.ask("GET", "/", headers={"Accept": "text/html,*/*"})
    assert (page.status, b"a page" in page.body) == (200, True)
    assert rest.ask("GET", "/app").body == page.body
    assert rest.ask("GET", "/static/index.html").body == page.body
    assert rest.ask("GET", "/static/../master.yaml").status == 404
    assert rest.ask("GET", "/static/none.txt").status == 404


def test_a_session_ends_with_its_streams(rest: Rest) -> None:
    token = rest.log_in()
    with rest.stream("/events", Cookie=f"session_id={token}") as stream:
        assert stream.answer.readline() == b"retry: 400\n"
        out = rest.ask("POST", "/logout", headers={"X-Auth-Token": token})
        assert (out.status, out.json) == (200, {"return": "Your token has been cleared"})
        assert b"does not count any more" in stream.answer.read()
    assert rest.ask("GET", "/jobs", headers={"X-Auth-Token": token}).status == 401
    for dead in (token, "", "zzz"):
        assert rest.ask("POST", "/logout", headers={"X-Auth-Token": dead}).status == 200


def test_a_page_of_another_site_may_not_use_the_cookie(rest: Rest, session: str) -> None:
    low = json.dumps({"client": "local", "tgt": "*", "fun": "test.ping"})
    cookie = {"Content-Type": "text/plain", "Cookie": f"session_id={session}"}
    own = f"http://127.0.0.1:{rest.port}"
    assert rest.ask("POST", "/", low, {**cookie, "Origin": own}).status == 200
    assert rest.ask("POST", "/", low, cookie).status == 200
    for more in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert rest.ask("POST", "/", low, {**cookie, **more}).status == 403, more
    answer = rest.ask("GET", "/jobs", headers={"X-Auth-Token": session, "Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_guessing_has_to_wait(rest: Rest) -> None:
    def attempt(password: str, user: str = "mallory") -> int:
        who = {"username": user, "password": password, "eauth": "sharedsecret"}
        return rest.ask("POST", "/login", json.dumps(who), JSON).status

    assert [attempt("wrong") for _ in range(6)] == [401] * 5 + [429]
    assert attempt(SECRET, "saltdev") == 200, "others can log in"


def test_tokens_are_in_no_log(rest: Rest, session: str) -> None:
    with rest.stream(f"/events?token={session}") as stream:
        assert stream.answer.status == 200
    for file in rest.site.folder.glob("*.log"):
        assert session not in file.read_text()
