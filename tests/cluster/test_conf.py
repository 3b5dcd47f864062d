"""The files of NATS servers: read as nats-server reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sylvite.cluster.conf import read_conf
from sylvite.cluster.dev import find_program
from sylvite.cluster.examining import read_server_file
from sylvite.errors import InvalidSetting

EVERYTHING = """
# all the ways in which something can be said
PASS: "s3cret \\" quoted"
server_name = 'n1'   // single quotes
listen: 127.0.0.1:4222
max_payload 8MB; max_connections: 1K, ping_interval: "2m"
jetstream {
  store_dir: "/data", sync_interval: always
  max_file_store: 1GiB
}
authorization { user: mars, password: $PASS, timeout: 2.5 }
cluster {
  listen: 127.0.0.1:6222
  routes = [
    nats-route://user:word@127.0.0.1:6223
    nats-route://user:word@127.0.0.1:6224
  ]
  no_advertise: yes
}
include 'more.conf'
"""


def test_all_ways_to_say_something(tmp_path: Path) -> None:
    """nats-server takes the same file."""
    (tmp_path / "n.conf").write_text(EVERYTHING)
    (tmp_path / "more.conf").write_text("debug: false\nlogtime: on\n")
    said = subprocess.run(
        (find_program(), "-t", "-c", str(tmp_path / "n.conf")), capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert read_conf(tmp_path / "n.conf") == {
        "pass": 's3cret " quoted',
        "server_name": "n1",
        "listen": "127.0.0.1:4222",
        "max_payload": 8 * 1024**2,
        "max_connections": 1000,
        "ping_interval": "2m",
        "jetstream": {"store_dir": "/data", "sync_interval": "always", "max_file_store": 1024**3},
        "authorization": {"user": "mars", "password": 's3cret " quoted', "timeout": 2.5},
        "cluster": {
            "listen": "127.0.0.1:6222",
            "routes": ["nats-route://user:word@127.0.0.1:6223", "nats-route://user:word@127.0.0.1:6224"],
            "no_advertise": True,
        },
        "debug": False,
        "logtime": True,
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: {\n b: 1\n", "2?.*a name is missing|is not as nats-server wants it"),
        ("a: 1\n}\n", r"n.conf:2'.*a name is missing"),
        ("a: 1\nb:\n", r"n.conf:2'.*a value is missing"),
        ("a: [1, 2\n", "a value is missing"),
        ("a: $NOBODY_SAYS_THIS\n", "is said nowhere"),
        ('a: "b\n', "cannot be read"),
        ("include 'n.conf'\n", "is included more than 32 deep"),
        ("a {" * 40 + "}" * 40, "nested more than 32 deep"),
        ("a: " + "[" * 40, "nested more than 32 deep"),
        ("include 'nothing'\n", "No such file"),
        ("a" * (1024 * 1024 + 1), "has more than 1048576 bytes"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "n.conf"
    path.write_text(text)
    with pytest.raises(InvalidSetting, match=reason):
        read_conf(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(alphabet="ab:= \n{}[]\"'#,;$()8kKmM.", max_size=60))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    """Also by the rules that look at what it says."""
    path = tmp_path / "n.conf"
    path.write_text(text)
    try:
        read_server_file(path)
    except InvalidSetting:
        pass
