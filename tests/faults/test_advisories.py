"""Row D-06: no version that we lock is known to be vulnerable, as PyPI tells it with each release."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.faults.report import report

LOCKS = ("run.lock", "dev.lock")
REQUIREMENTS = Path(__file__).parents[2] / "requirements"
INDEX = "https://pypi.org"
ANSWER_S = 20.0


class NoIndex(Exception):
    """The index cannot be asked from here."""


def locked() -> dict[str, str]:
    """Return the version of each package that the locks name."""
    found: dict[str, str] = {}
    for lock in LOCKS:
        found |= dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (REQUIREMENTS / lock).read_text(), re.MULTILINE))
    return found


def advisories(index: str, packages: Mapping[str, str]) -> list[str]:
    """Return what is known of these versions.  Raises NoIndex."""
    found: list[str] = []
    for name, version in packages.items():
        try:
            with urllib.request.urlopen(f"{index}/pypi/{name}/{version}/json", timeout=ANSWER_S) as answer:
                release: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:  # It holds the connection.
                raise NoIndex(f"{name} {version}: {error}") from error
        except (OSError, ValueError) as error:
            raise NoIndex(f"{name} {version}: {error}") from error
        if "vulnerabilities" not in release:
            raise NoIndex(f"{name} {version}: it says nothing of vulnerabilities")
        found += [
            f"{name} {version}: {known['id']}" for known in release["vulnerabilities"] if not known.get("withdrawn")
        ]
    return found


@pytest.mark.long
def test_no_locked_version_is_known_to_be_vulnerable() -> None:
    packages = locked()
    assert len(packages) > 20
    try:
        found = advisories(INDEX, packages)
    except NoIndex as error:
        pytest.skip(f"{INDEX} cannot be asked for advisories from here: {error}")
    report("D-06 advisories", seed=0, runs=len(packages), counters={"known": len(found)})


@contextmanager
def index_of(releases: Mapping[str, object]) -> Generator[str]:
    """Serve these answers by their path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in releases
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(releases.get(self.path)).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it is not what is looked at."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_a_known_vulnerability_is_found_and_a_withdrawn_one_is_none() -> None:
    """Negative control, with an index of our own."""
    releases: dict[str, object] = {
        "/pypi/good/1.0/json": {"vulnerabilities": []},
        "/pypi/bad/2.0/json": {"vulnerabilities": [{"id": "PYSEC-1"}, {"id": "PYSEC-2", "withdrawn": "2026-01-01"}]},
    }
    with index_of(releases) as index:
        assert advisories(index, {"good": "1.0"}) == []
        found = advisories(index, {"good": "1.0", "bad": "2.0"})
        assert found == ["bad 2.0: PYSEC-1"]
        with pytest.raises(AssertionError):
            report("D-06", seed=0, runs=2, counters={"known": len(found)}, without="a version without advisories")
        with pytest.raises(NoIndex):
            advisories(index, {"unknown": "1.0"})
