"""`sylvite certificate`: what it makes is what `sylvite api` takes, and clients believe."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import ssl
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sylvite.api.connections import HEAD_S
from sylvite.auth.certificates import DAYS_MAX, make_certificate
from sylvite.cli.main import main
from sylvite.errors import InvalidInput
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import WITHIN_S, Api


def test_an_interface_with_it_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "api"
    assert main(["certificate", "--out", str(out)]) == 0
    certificate, key = tmp_path / "api.crt", tmp_path / "api.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    printed = capsys.readouterr()
    assert f"--certificate {certificate} --key {key}" in printed.err
    digest = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert hashlib.sha256(digest).hexdigest().upper() in printed.out.replace(":", "")
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        BrokerProcess(tmp_path / "bus") as broker,
        Api(broker, "--certificate", str(certificate), "--key", str(key)) as api,
    ):
        for host in ("localhost", "127.0.0.1"):
            connection = http.client.HTTPSConnection(host, api.port, timeout=WITHIN_S, context=context)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
        with socket.create_connection(("127.0.0.1", api.port), 3 * HEAD_S) as silent:
            assert silent.recv(1) == b"", "who does not speak TLS is let go"
        if curl := shutil.which("curl"):
            url = f"https://127.0.0.1:{api.port}/healthz"
            subprocess.run([curl, "-sf", "--cacert", str(certificate), url], check=True, timeout=WITHIN_S)


@pytest.mark.parametrize("name", ["api.crt", "api.key"])
def test_nothing_is_overwritten(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["certificate", "--out", str(tmp_path / "api")]) == 78
    assert "is there already" in capsys.readouterr().err
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "api.key").symlink_to(tmp_path / "elsewhere")
    assert main(["certificate", "--out", str(tmp_path / "api")]) == 78
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("names", "days"),
    [([], 1), (["a b"], 1), (["-a"], 1), (["a" * 254], 1), (["*"], 1), (["é"], 1), (["a"], 0), (["a"], DAYS_MAX + 1)],
)
def test_what_cannot_be(names: list[str], days: int) -> None:
    with pytest.raises(InvalidInput):
        make_certificate(names, days, datetime.now(UTC))
