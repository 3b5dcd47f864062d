"""E-08: what pages of other sites can do with the session of a browser: nothing."""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from sylvite.api.eauth import make_line
from sylvite.api.scopes import parse_scope
from sylvite.api.tokens import TokenStore
from sylvite.client.sync_client import Client
from tests.daemons.nodes import WITHIN_S
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.hook_site import HookSite
from tests.faults.report import control, report

PASSWORD = "correct horse battery staple"
FRIEND = "https://friend.test"
"""A site that `cors_origin` names."""
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</script><svg/onload=alert(1)>",
)
SCOPES = ("events:read:**", "events:write:**", "status:read", "tokens:admin")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.hook_parent") as parent:
        yield parent


class Ask(NamedTuple):
    """`writes`: it would change something.  `kind`: its Content-Type, one that a page needs no leave for.  `is_ours`: our own pages ask so."""

    about: str
    method: str
    path: str
    body: str | None = None
    kind: str = "text/plain"
    writes: bool = False
    is_ours: bool = True
    upgrades: bool = False


ASKS = (
    Ask("publish", "POST", "/v1/events", '{"tag": "evil/a"}', writes=True, is_ours=False),
    Ask("publish by a form", "POST", "/v1/events", '{"tag": "evil/a", "data": {"x": "="}}', "application/x-www-form-urlencoded", writes=True),
    Ask("make a token", "POST", "/v1/tokens", '{"scopes": ["events:read:**"]}', writes=True),
    Ask("run as Salt has it", "POST", "/", '{"client": "runner", "fun": "test.arg"}', writes=True, is_ours=False),
    Ask("fire as Salt has it", "POST", "/hook/evil", "x=1", "application/x-www-form-urlencoded", writes=True),
    Ask("log out", "POST", "/logout", "", writes=True, is_ours=False),
    Ask("history", "GET", "/v1/events"),
    Ask("status", "GET", "/v1/status"),
    Ask("stats as Salt has them", "GET", "/stats"),
    Ask("a stream", "GET", "/v1/events/stream"),
    Ask("a stream as Salt has it", "GET", "/events"),
    Ask("a socket", "GET", "/v1/events/ws", upgrades=True),
    Ask("a socket as Salt has it", "GET", "/ws", upgrades=True),
    Ask("leave to publish", "OPTIONS", "/v1/events"),
)  # fmt: skip


def _pages(port: int) -> list[dict[str, str]]:
    """Return what browsers say of pages that are not ours, old browsers and new ones."""
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    return [
        {"Origin": "http://evil.test", **cross},
        {"Origin": "http://evil.test"},
        {"Origin": "null", **cross},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{port}.evil.test"},
        {"Origin": f"http://evil.test:{port}"},
        {"Origin": f"http://127.0.0.1:{port - 1}", "Sec-Fetch-Site": "same-site"},
        {"Origin": f"http://127.0.0.1:{port - 1}"},
        {"Origin": f"http://localhost:{port}"},
        {"Origin": f"http://127.0.0.1:{port}@evil.test"},
        {"Origin": f"{FRIEND}.evil.test", **cross},
        {"Origin": FRIEND.replace("https", "http"), **cross},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ]


class _Browser:
    """A browser whose user has logged in, to the console and to Salt's API."""

    def __init__(self, site: HookSite) -> None:
        self._site = site
        with TokenStore(site.folder) as store:
            _, secret = store.make("alice", [parse_scope(scope) for scope in SCOPES], time.time_ns(), life_s=600.0)
        self._own = {
            "Origin": f"http://127.0.0.1:{site.port}",
            "Sec-Fetch-Site": "same-origin",
            "X-Sylvite-Console": "1",
        }
        self.cookies = "; ".join(
            (
                self._log_in("/console/session", {"token": secret.reveal()}),
                self._log_in("/login", {"username": "alice", "password": PASSWORD, "eauth": "file"}),
            )
        )

    def _log_in(self, path: str, said: Mapping[str, str]) -> str:
        status, headers, body = self._send("POST", path, json.dumps(said), {**self._own, "Content-Type": "application/json"})  # fmt: skip
        assert status == 200, (path, status, body)
        return headers["set-cookie"].partition(";")[0]

    def own(self, ask: Ask) -> int:
        """Ask from a page of ours; return the status."""
        return self._send(ask.method, ask.path, ask.body, {**self._own, "Cookie": self.cookies, **_kind(ask)})[0]

    def other(self, ask: Ask, page: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        """Ask from a page of another site, as a browser that would send its cookies along."""
        headers = {"Cookie": self.cookies, **page, **_kind(ask)}
        if ask.method == "OPTIONS":
            headers |= {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-sylvite-console"}
        return self._send(ask.method, ask.path, ask.body, headers)[:2]

    def _send(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._site.port, timeout=WITHIN_S)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            # A stream has no end; what it says is not needed.
            content = b"" if answer.status == 101 or "stream" in found.get("content-type", "") else answer.read()
            return answer.status, found, content
        finally:
            connection.close()


def _kind(ask: Ask) -> dict[str, str]:
    if ask.upgrades:
        key = base64.b64encode(os.urandom(16)).decode()
        return {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
        }  # fmt: skip
    return {"Content-Type": ask.kind} if ask.body is not None else {}


def _visit(forks: Forks, folder: Path, *, without: str | None = None) -> None:
    users = folder / "users"
    users.write_text(f"{make_line('alice', PASSWORD, os.urandom(16))}\n")
    users.chmod(0o600)
    may = {"file": {"^filename": str(users), "alice": [".*", "@runner"]}}
    site = HookSite(
        forks, folder, without=without, external_auth=may, netapi_enable_clients=["runner"],
        rest_cherrypy={"disable_ssl": True, "cors_origin": FRIEND, "requests_per_s": None},
    )  # fmt: skip
    written = read = opened = runs = own_refused = not_named = 0
    try:
        site.start("broker", "api")
        with Client.connect(site.socket) as client:
            for text in HOSTILE:
                client.publish(f"ui/{text}", {text: text})
            browser = _Browser(site)
            before = client.publish("ui/before", {}).offset
            for page in _pages(site.port):
                for ask in ASKS:
                    status, headers = browser.other(ask, page)
                    runs += 1
                    written += ask.writes and status < 400
                    opened += status == 101
                    read += headers.get("access-control-allow-origin") in ("*", page.get("Origin", "*"))
                    # What a page could show as what it is not: a script, a style, a document.
                    not_named += (
                        status == 200
                        and headers.get("x-content-type-options") != "nosniff"
                        and not ask.path.startswith("/stats")
                    )
            written += client.publish("ui/after", {}).offset != before + 1
            for ask in ASKS:
                own_refused += ask.is_ours and browser.own(ask) >= 400
            friend = browser.other(ASKS[-1], {"Origin": FRIEND})[1]
            own_refused += friend.get("access-control-allow-origin") != FRIEND
        tracebacks = site.tracebacks()
    finally:
        site.close()
    counters = {
        "written": written, "read": read, "opened": opened, "own_refused": own_refused, "not_named": not_named,
        "tracebacks": tracebacks,
    }  # fmt: skip
    report("E-08", seed=0, runs=runs, counters=counters, without=without)


def test_pages_of_other_sites_do_and_see_nothing(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """14 kinds of pages that are not ours, each with 14 requests and all cookies of the browser."""
    _visit(forks, tmp_path_factory.mktemp("e08"))


@pytest.mark.parametrize("without", ["looking at origins", "a list of origins"])
def test_an_interface_that_believes_any_page_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, without: str
) -> None:
    """Negative controls."""
    with control("E-08", without=without, match='"row": "E-08"'):
        _visit(forks, tmp_path_factory.mktemp("e08"), without=without)
