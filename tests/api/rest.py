"""A master with Salt's REST API, and a minion, as processes."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sylvite.cli.main import main
from tests.api.nodes import Answer, Stream
from tests.daemons.nodes import WITHIN_S, Site, free_port

SECRET = "testbed-only-secret-testbed-only-secret"
CLIENTS = ("local", "local_async", "local_batch", "local_subset", "runner", "runner_async", "wheel", "wheel_async")
PERMS = [".*", "@events", "@jobs", "@runner", "@wheel"]
USERS = {
    "saltdev": PERMS, "eve": [{"web*": ["test.ping"]}], "bob": ["test.ping", {"@runner": ["test.arg"]}], "ann": [],
}  # fmt: skip
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class Rest(NamedTuple):
    """A master with its REST API, and a minion."""

    site: Site
    port: int

    def ask(self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def log_in(self, user: str = "saltdev") -> str:
        answer = self.ask(
            "POST", "/login", json.dumps({"username": user, "password": SECRET, "eauth": "sharedsecret"}), JSON
        )
        assert answer.status == 200, answer
        token: str = answer.json["return"][0]["token"]
        return token

    def run(self, token: str, **low: Any) -> Any:
        answer = self.ask("POST", "/", json.dumps(low), {**JSON, "X-Auth-Token": token})
        assert answer.status == 200, answer
        (found,) = answer.json["return"]
        return found

    def stream(self, path: str, **headers: str) -> Stream:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        return Stream(connection, path, {name.replace("_", "-"): value for name, value in headers.items()})


@contextlib.contextmanager
def running(folder: Path) -> Generator[Rest]:
    """Run a master with its API below a folder, and a minion that it has let in."""
    site, port = Site(folder, "minion-0042"), free_port()
    static = site.folder / "static"
    static.mkdir()
    (static / "index.html").write_text("<title>a page</title>")
    site.write(
        site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master", timeout="2", gather_job_timeout="2",
        rest_cherrypy=f"{{host: 127.0.0.1, port: {port}, disable_ssl: true, requests_per_s: null, static: {static}, app: {static}/index.html}}",
        netapi_enable_clients=f"[{', '.join(CLIENTS)}]", sharedsecret=SECRET,
        external_auth=json.dumps({"sharedsecret": USERS}),
    )  # fmt: skip
    site.configure_minion()
    with site.master():
        token = _token(site)
        with site.minion("--token", str(token)):
            found = Rest(site, port)
            session = found.log_in()
            until = time.monotonic() + WITHIN_S
            while found.run(session, client="local", tgt="*", fun="test.ping") != {"minion-0042": True}:
                assert time.monotonic() < until
            yield found


def _token(site: Site) -> Path:
    path = site.folder / "token"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["-q", "keys", "token", site.id, "--dir", str(site.data)]) == 0
    path.write_text(printed.getvalue())
    path.chmod(0o600)
    return path
