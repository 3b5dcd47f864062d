"""The session of a browser: how it begins and ends, and that no page of another site can use it."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sylvite.cli.main import main
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, WITHIN_S, Answer, Api

PAGE = {"X-Sylvite-Console": "1", "Content-Type": "application/json"}
HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Generator[Api]:
    with BrokerProcess(tmp_path_factory.mktemp("session") / "bus") as broker, Api(broker) as process:
        yield process


@pytest.fixture(scope="module")
def token(api: Api) -> str:
    return api.token(*EVERYTHING)


def console(api: Api, *more: str) -> str:
    """Return the code of a link that the command makes."""
    done = subprocess.run(
        [sys.executable, "-m", "sylvite", "-q", "console", "--url", f"http://127.0.0.1:{api.port}", "--dir", str(api.broker.folder), *more],
        capture_output=True, text=True, timeout=WITHIN_S, check=True,
    )  # fmt: skip
    return done.stdout.strip().partition("code=")[2]


def log_in(api: Api, token: str, headers: Mapping[str, str] = PAGE) -> Answer:
    return api.ask("POST", "/console/session", body=json.dumps({"token": token}), **headers)


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def whoami(api: Api, cookie: str) -> Answer:
    return api.ask("GET", "/v1/whoami", Cookie=cookie, **PAGE)


def test_a_token_begins_a_session_in_a_cookie_that_no_script_reads(api: Api, token: str) -> None:
    answer = log_in(api, f" {token}\n")
    assert (answer.status, answer.json["owner"]) == (200, "alice")
    pattern = r"sylvite_console=syl1_\S+; HttpOnly; Max-Age=43\d{3}; Path=/; SameSite=strict"
    assert re.fullmatch(pattern, answer.headers["set-cookie"])
    assert token not in str(answer), "the session is another one than the token"
    assert whoami(api, cookie_of(answer)).json["backend"] == "console"


def test_a_link_counts_once(api: Api) -> None:
    code = console(api, "-s", "events:read:myco/**", "--owner", "wall")
    assert api.ask("GET", "/v1/whoami", code).status == 401, "it is no token"
    assert api.ask("HEAD", f"/console/login?code={code}").headers.get("set-cookie") is None
    ahead = api.ask("GET", f"/console/login?code={code}", **{"Sec-Purpose": "prefetch"})
    assert ahead.headers.get("set-cookie") is None, "looking ahead does not use it up"
    first, second = (api.ask("GET", f"/console/login?code={code}") for _ in range(2))
    assert (first.status, first.headers["location"]) == (303, "../console")
    found = whoami(api, cookie_of(first)).json
    assert (found["owner"], found["scopes"]) == ("wall", ["events:read:myco/**"])
    assert (second.status, second.headers["location"]) == (303, "../console#/login?link=over")
    assert "set-cookie" not in second.headers
    assert code not in api.log.read_text()


def test_a_link_that_many_open_at_once_lets_one_in(api: Api) -> None:
    code = console(api)
    found: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: found.append(api.ask("GET", f"/console/login?code={code}"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("set-cookie" in answer.headers for answer in found) == 1


@pytest.mark.parametrize("how", ["log out", "revoke the token", "revoke the session"])
def test_a_session_ends_and_its_streams_with_it(api: Api, how: str) -> None:
    mine = api.token("events:read:**", owner="bob")
    admin = api.token("tokens:admin")
    session = log_in(api, mine)
    cookie = cookie_of(session)
    with api.stream("/v1/events/stream", "", Cookie=cookie, **HERE) as stream:
        assert stream.answer.status == 200
        if how == "log out":
            assert api.ask("DELETE", "/console/session", Cookie=cookie, **PAGE).status == 204
        else:
            id_ = session.json["id"] if how == "revoke the session" else session.json["id"].partition(".")[0]
            assert api.ask("DELETE", f"/v1/tokens/{id_}", admin).status == 204
        assert next(stream.blocks())["event"] == "bye"
    assert whoami(api, cookie).status == 401
    assert api.ask("GET", "/v1/whoami", mine).status == (401 if how == "revoke the token" else 200)
    assert api.ask("DELETE", "/console/session", Cookie=cookie, **PAGE).status == 204, "once more is no mistake"


def test_a_session_begins_no_other(api: Api, token: str) -> None:
    text = cookie_of(log_in(api, token)).partition("=")[2]
    assert log_in(api, text).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Content-Type": "application/json"}, 403),
        ({**PAGE, "Content-Type": "text/plain"}, 415),
        ({**PAGE, "Origin": "http://evil.example"}, 403),
        ({**PAGE, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**PAGE, "Origin": "null"}, 403),
    ],
)
def test_no_other_site_logs_a_browser_in(api: Api, token: str, headers: Mapping[str, str], status: int) -> None:
    answer = log_in(api, token, headers)
    assert (answer.status, answer.headers.get("set-cookie")) == (status, None)


OTHERS: tuple[Mapping[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {},
)
"""What browsers say of pages that are not ours, and of a form or an image; without anything: an old browser."""


@pytest.mark.parametrize("site", OTHERS)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_no_other_site_uses_the_session(api: Api, token: str, site: Mapping[str, str], content_type: str) -> None:
    """Whatever the browser sends along with the cookie, without the header nothing is read and nothing changed."""
    cookie = cookie_of(log_in(api, token))
    body = json.dumps({"tag": "myco/forged", "data": {}})
    paths = (("POST", "/v1/events"), ("GET", "/v1/events"), ("GET", "/v1/whoami"), ("GET", "/v1/events/stream"), ("DELETE", "/console/session"))  # fmt: skip
    for method, path in paths:
        sent = body if method == "POST" else None
        answer = api.ask(method, path, body=sent, Cookie=cookie, **{"Content-Type": content_type}, **site)
        assert (answer.status, answer.json["code"]) == (403, "not_allowed"), (method, path)
    assert api.ask("GET", "/v1/events?tag=myco/forged", token).json["items"] == []
    assert whoami(api, cookie).status == 200


@pytest.mark.parametrize("origin", ["", "http://evil.example", "null", "here"])
def test_a_web_socket_of_a_page_of_this_server_uses_it(api: Api, token: str, origin: str) -> None:
    """And no other: a browser always says of which page it is."""
    here = f"http://127.0.0.1:{api.port}"
    headers = {
        "Cookie": cookie_of(log_in(api, token)),
        **({"Origin": here if origin == "here" else origin} if origin else {}),
    }
    place = f"ws://127.0.0.1:{api.port}/v1/events/ws?tag=socket/&since=oldest"
    if origin == "here":
        assert api.ask("POST", "/v1/events", token, json.dumps({"tag": "socket/a", "data": {"n": 1}})).status == 201
        with connect(place, additional_headers=headers, open_timeout=WITHIN_S) as socket:
            assert json.loads(socket.recv(WITHIN_S))["data"] == {"n": 1}
        return
    with pytest.raises(InvalidStatus) as refused:
        connect(place, additional_headers=headers, open_timeout=WITHIN_S)
    assert refused.value.response.status_code == 403


def test_over_tls_the_cookie_goes_nowhere_else(api: Api, token: str, tmp_path: Path) -> None:
    assert main(["-q", "certificate", "--out", str(tmp_path / "api")]) == 0
    certificate, key = tmp_path / "api.crt", tmp_path / "api.key"
    with Api(api.broker, "--certificate", str(certificate), "--key", str(key)) as secure:
        context = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", secure.port, timeout=WITHIN_S, context=context)
        connection.request("POST", "/console/session", json.dumps({"token": token}), dict(PAGE))
        answer = connection.getresponse()
        assert "; Secure" in str(answer.getheader("set-cookie"))
        connection.close()


def test_the_header_may_not_be_asked_for_from_elsewhere(api: Api) -> None:
    """A page of another site that sets it makes the browser ask first, and the answer is no."""
    answer = api.ask(
        "OPTIONS", "/v1/events",
        **{"Origin": "http://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-sylvite-console"},
    )  # fmt: skip
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_header_alone_is_nothing(api: Api) -> None:
    assert api.ask("GET", "/v1/whoami", **PAGE).status == 401
    assert api.ask("GET", "/v1/whoami", Cookie="sylvite_console=x", **PAGE).status == 401


@pytest.mark.parametrize("path", ["/console", "/console/index.html", "/console/app.css", "/console/login?code=x"])
def test_pages_let_nothing_in_from_elsewhere(api: Api, path: str) -> None:
    headers = api.ask("GET", path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["../__init__.py", "%2e%2e/__init__.py", "..%2f__init__.py", "none.js", "", "a/b"])
def test_nothing_else_is_served(api: Api, name: str) -> None:
    answer = api.ask("GET", f"/console/{name}")
    assert answer.status == (308 if name == "" else 404)


def test_files_are_asked_for_once(api: Api) -> None:
    tag = api.ask("GET", "/console").headers["etag"]
    assert api.ask("GET", "/console", **{"If-None-Match": tag}).status == 304


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "bus.example.com"], "is no address"),
        (["--within", "2h"], "--within is up to 60m"),
        (["-s", "event:read"], "there are events:read"),
        (["--owner", "a b"], "--owner is a name"),
    ],
)
def test_mistakes_of_the_command(tmp_path: Path, words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sylvite", "console", "--dir", str(tmp_path), *words],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
