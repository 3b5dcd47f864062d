"""OpenStack on loopback: keystone, nova, glance and neutron as far as a machine needs them, over real HTTP.

It records what was asked, and can be told to misbehave: `Fault`s are taken in their order by the requests that they
name.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

USER, PASSWORD, TENANT, TOKEN = "admin", "correct-horse-battery", "demo", "gAAAAABtokentokentoken"
PATIENCE_S = 10.0


class Asked(NamedTuple):
    method: str
    path: str
    body: Any
    token: str | None


class Fault(NamedTuple):
    """What happens instead of an answer to the next request of that method whose path ends so.

    `status` with `body` and `headers`; or `cut`: the connection is closed without an answer, `before` or `after` the
    request was carried out; or `hang`: no answer comes, until the server ends.
    """

    method: str
    ending: str
    status: int = 0
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    cut: str = ""
    hang: str = ""


class Server(NamedTuple):
    """A machine.  `states`: those it shows, one for each time that it is listed; the last one stays."""

    id: str
    name: str
    states: list[str]
    metadata: dict[str, Any]
    addresses: list[str]


class OpenStack:
    """A context manager.  `states`: of machines that are made; `addresses`: what they get."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.servers: list[Server] = []
        self.states = ["BUILD", "ACTIVE"]
        self.addresses = ["127.0.0.1"]
        self.ended = threading.Event()
        self._made = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> OpenStack:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(PATIENCE_S)

    def provider(self, **more: object) -> dict[str, object]:
        """A provider's settings, as Salt has them."""
        return {
            "driver": "openstack", "user": USER, "password": PASSWORD, "tenant": TENANT, "identity_url": self.url,
            "compute_region": "RegionOne", **more,
        }  # fmt: skip

    def changes(self) -> list[tuple[str, str]]:
        """What was asked that changes something: method and path, without signing in."""
        return [(one.method, one.path) for one in self.asked if one.method != "GET" and one.path != "/v3/auth/tokens"]

    def add(self, name: str, *states: str) -> Server:
        self._made += 1
        server = Server(f"id-{self._made}", name, list(states), {}, list(self.addresses))
        self.servers.append(server)
        return server

    def fault_for(self, method: str, path: str) -> Fault | None:
        for number, fault in enumerate(self.faults):
            if fault.method == method and urlsplit(path).path.endswith(fault.ending):
                return self.faults.pop(number)
        return None

    # -- What it answers ---------------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], Any]:
        path = urlsplit(asked.path).path
        if path == "/v3/auth/tokens":
            return self._token(asked.body)
        if asked.token != TOKEN:
            return 401, {}, {"error": {"code": 401, "message": "The request you have made requires authentication."}}
        for method, ending, function in self._routes():
            if asked.method == method and path.endswith(ending):
                return function(asked.body)
        return self._of_server(asked, path)

    def _token(self, body: Any) -> tuple[int, dict[str, str], Any]:
        user = body["auth"]["identity"]["password"]["user"]
        if (user["name"], user["password"]) != (USER, PASSWORD):
            return 401, {}, {"error": {"code": 401, "message": "The request you have made requires authentication."}}
        catalog = [
            {
                "type": kind, "name": name,
                "endpoints": [{"region": "RegionOne", "region_id": "RegionOne", "interface": "public", "url": self.url + path, "id": name}],
            }
            for kind, name, path in (
                ("compute", "nova", "/compute/v2.1"), ("image", "glance", "/image"), ("network", "neutron", "/network"),
            )
        ]  # fmt: skip
        token: dict[str, Any] = {
            "expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z", "methods": ["password"],
            "roles": [{"name": "admin", "id": "r"}], "catalog": catalog,
            "user": {"name": USER, "id": "u", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": TENANT, "domain": {"id": "default", "name": "Default"}},
        }  # fmt: skip
        return 201, {"X-Subject-Token": TOKEN}, {"token": token}

    def _routes(self) -> list[tuple[str, str, Callable[[Any], tuple[int, dict[str, str], Any]]]]:
        return [
            ("GET", "/servers/detail", self._list),
            ("POST", "/servers", self._create),
            ("GET", "/flavors/detail", lambda body: (200, {}, {"flavors": [_flavor("1", "m1.tiny"), _flavor("2", "m1.small")]})),
            ("GET", "/images", lambda body: (200, {}, {"images": [_image("img-1", "debian-12"), _image("img-2", "debian-13")]})),
            ("GET", "/networks", lambda body: (200, {}, {"networks": [_network("net-1", "private")]})),
        ]  # fmt: skip

    def _list(self, body: Any) -> tuple[int, dict[str, str], Any]:
        shown = [self._shown(server) for server in self.servers]
        for server in self.servers:
            if len(server.states) > 1:
                server.states.pop(0)
        self.servers = [server for server in self.servers if server.states != ["GONE"]]
        return 200, {}, {"servers": [one for one in shown if one["status"] != "GONE"]}

    def _create(self, body: Any) -> tuple[int, dict[str, str], Any]:
        wanted = body["server"]
        server = self.add(wanted["name"], *self.states)
        server.metadata.update(wanted.get("metadata", {}))
        return 202, {}, {"server": {"id": server.id, "links": [], "adminPass": "made-by-nova-12345"}}

    def _of_server(self, asked: Asked, path: str) -> tuple[int, dict[str, str], Any]:
        identity, _, rest = path.partition("/servers/")[2].partition("/")
        server = next((one for one in self.servers if one.id == identity), None)
        if server is None:
            return 404, {}, {"itemNotFound": {"code": 404, "message": f"Instance {identity} could not be found."}}
        if asked.method == "DELETE":
            server.states[:] = ["ACTIVE", "GONE"]
            return 204, {}, None
        if rest == "metadata":
            server.metadata.clear()
            server.metadata.update(asked.body["metadata"])
            return 200, {}, {"metadata": server.metadata}
        if rest == "action":
            after = {
                "os-stop": ["ACTIVE", "SHUTOFF"],
                "os-start": ["SHUTOFF", "ACTIVE"],
                "reboot": ["REBOOT", "ACTIVE"],
            }
            server.states[:] = after[next(iter(asked.body))]
            return 202, {}, None
        return 200, {}, {"server": self._shown(server)}

    def _shown(self, server: Server) -> dict[str, Any]:
        state = server.states[0]
        ready = state not in ("BUILD", "ERROR")
        addresses = (
            [{"addr": one, "version": 4, "OS-EXT-IPS:type": "floating"} for one in server.addresses] if ready else []
        )
        return {
            "id": server.id, "name": server.name, "status": state, "metadata": server.metadata, "links": [{"rel": "self", "href": f"{self.url}/servers/{server.id}"}],
            "addresses": {"private": addresses} if addresses else {}, "tenant_id": "p", "user_id": "u", "hostId": "h",
            "created": "2026-11-24T12:00:00Z", "updated": "2026-11-24T12:00:00Z", "accessIPv4": "", "accessIPv6": "",
            "flavor": {"id": "2", "links": []}, "image": {"id": "img-1", "links": []}, "key_name": None, "config_drive": "",
            "fault": {"code": 500, "message": "No valid host was found."} if state == "ERROR" else None,
        }  # fmt: skip


def _flavor(identity: str, name: str) -> dict[str, Any]:
    return {"id": identity, "name": name, "ram": 512, "disk": 1, "vcpus": 1, "swap": "", "links": []}


def _image(identity: str, name: str) -> dict[str, Any]:
    return {
        "id": identity, "name": name, "status": "active", "visibility": "public", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "min_disk": 0, "min_ram": 0, "size": 1, "tags": [], "checksum": "c",
        "container_format": "bare", "disk_format": "qcow2", "protected": False, "owner": "p", "file": "/v2/images/x/file",
        "self": "/v2/images/x", "schema": "/v2/schemas/image",
    }  # fmt: skip


def _network(identity: str, name: str) -> dict[str, Any]:
    return {
        "id": identity, "name": name, "subnets": [], "status": "ACTIVE", "admin_state_up": True, "shared": False,
        "tenant_id": "p", "router:external": False, "mtu": 1500,
    }  # fmt: skip


def _handler(cloud: OpenStack) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(size)
            asked = Asked(self.command, self.path, json.loads(raw) if raw else None, self.headers.get("X-Auth-Token"))
            cloud.asked.append(asked)
            fault = cloud.fault_for(self.command, self.path)
            if fault is not None and fault.status:
                self._send(fault.status, dict(fault.headers), fault.body.encode())
                return
            answer = None
            if fault is None or "after" in (fault.cut, fault.hang):
                answer = cloud.answer(asked)
            if fault is not None:
                if fault.hang:
                    cloud.ended.wait(PATIENCE_S)
                self.close_connection = True
                return
            assert answer is not None
            status, headers, body = answer
            content = b"" if body is None else json.dumps(body).encode()
            self._send(status, {"Content-Type": "application/json", **headers}, content)

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names of the standard library

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    return Handler
