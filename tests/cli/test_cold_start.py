"""`sylvite publish` starts fast: what it must not import is a list, which does not depend on the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sylvite.testing.broker import BrokerProcess

HEAVY = (
    "asyncio",
    "concurrent",
    "cryptography",
    "google_crc32c",
    "http",
    "importlib.metadata",
    "json",
    "logging",
    "multiprocessing",
    "ssl",
    "subprocess",
    "sylvite.auth",
    "sylvite.broker",
    "sylvite.core.duration",
    "sylvite.core.grammar",
    "sylvite.core.predicate",
    "sylvite.daemons",
    "sylvite.eventlog",
    "tempfile",
    "unittest",
    "uvloop",
    "yaml",
)
_imported = re.compile(r"import time:\s*\d+ \|\s*\d+ \|\s*(\S+)")


def imports_of(*arguments: str, socket: Path) -> set[str]:
    """Return the modules that one run of the program imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sylvite", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "SYLVITE_SOCKET": str(socket)},
    )
    return set(_imported.findall(done.stderr))


def heavy_of(imported: set[str]) -> list[str]:
    return sorted(name for name in imported for heavy in HEAVY if name == heavy or name.startswith(f"{heavy}."))


def test_publish_imports_nothing_heavy(sylvite_broker: BrokerProcess) -> None:
    """From the first line to the acknowledgement."""
    imported = imports_of(
        "publish", "myco/a", "n=1", "ok=True", "name=web1", '{"a": [1]}', socket=sylvite_broker.socket
    )
    assert "sylvite.client.sync_client" in imported
    assert heavy_of(imported) == []


def test_the_list_would_notice(sylvite_broker: BrokerProcess) -> None:
    """A value that only YAML can read does import it: the test above can fail."""
    imported = imports_of("publish", "myco/a", "hosts=[web1, web2]", socket=sylvite_broker.socket)
    assert "yaml" in heavy_of(imported)
