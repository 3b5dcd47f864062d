"""How servers of NATS are reached: who we are to them, over what, and what is said where it does not work."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sylvite.cluster import clock
from sylvite.cluster.connection import Connection
from sylvite.cluster.credentials import read_credentials
from sylvite.cluster.dev import SYSTEM, Allowed, DevCluster, find_program
from sylvite.cluster.nkey import Nkey
from sylvite.cluster.settings import ClusterSettings, ClusterTls
from sylvite.errors import ClusterError, ClusterRefused, ClusterUnfit, ClusterUnreachable, InvalidSetting
from tests.cluster.servers import settings
from tests.faults.link_proxy import WAYS, network

WITHIN_S = 60.0
_find_port = re.compile(r"client connections on 127\.0\.0\.1:(\d+)").search


def reach(wanted: ClusterSettings, *, timeout_s: float = 10.0) -> str:
    """Return the version of the server that takes us."""

    async def main() -> str:
        async with await Connection.open(wanted, timeout_s=timeout_s) as connection:
            await connection.nats.flush()
            return connection.version

    return asyncio.run(main())


@contextmanager
def single(folder: Path, said: str) -> Generator[str]:
    """One server with these settings; give its address."""
    folder.mkdir(exist_ok=True)
    config = folder / "server.conf"
    config.write_text(f'listen: "127.0.0.1:-1"\n{said}\n')
    process = subprocess.Popen((find_program(), "-c", str(config)), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        port = 0
        for line in process.stderr:
            if found := _find_port(line):
                port = int(found[1])
            if "Server is ready" in line:
                break
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def test_credentials_are_a_seed_a_user_or_a_file_of_nsc(nats: DevCluster, tmp_path: Path) -> None:
    """The first two of them are taken by real servers; a JWT is sent as it is, and its nonce is signed."""
    assert reach(settings(nats))
    login = tmp_path / "login"
    login.write_text("user: mars\npassword: long enough\n")
    login.chmod(0o600)
    users = 'authorization { users: [ { user: mars, password: "long enough" } ] }\njetstream { store_dir: "%s" }'
    with single(tmp_path / "n", users % (tmp_path / "js")) as url:
        assert reach(ClusterSettings(servers=(url,), credentials=str(login)))
        with pytest.raises(ClusterRefused, match=r"Authorization Violation.*`credentials`"):
            reach(ClusterSettings(servers=(url,)))
    key = Nkey.make()
    creds = tmp_path / "mars.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\neyJ0.e30.abc\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{key.seed}\n------END USER NKEY SEED------\n"
    )
    creds.chmod(0o600)
    found = read_credentials(creds)
    assert found.jwt == "eyJ0.e30.abc"
    assert found.key is not None
    assert found.key.public == key.public
    assert key.seed not in repr(found)


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("user: a\npassword: b\n", 0o644, "can be read by others; `chmod 600` it"),
        ("user: a\npassword: b\n", 0o640, "can be read by others"),
        ("", 0o600, "write `user: NAME`"),
        ("user: a\n", 0o600, "write `user: NAME`"),
        ("user: a\npassword: 5\n", 0o600, "write `user: NAME`"),
        ("user: a\npassword: geheim\nmore: c\n", 0o600, "write `user: NAME`"),
        ("SUAGEHEIM", 0o600, "it is no seed of an nkey"),
        ("SAAGEHEIM2", 0o600, "it is no seed of an nkey"),
        ("-----BEGIN NATS USER JWT-----\ngeheim\n", 0o600, "it has no JWT, or no seed"),
        ("\x00geheim\x80", 0o600, "cannot be used"),
        ("[" * 10_000, 0o600, "cannot be used"),
        ("x" * 70_000, 0o600, "it has more than 65536 bytes"),
    ],
)
def test_a_file_of_credentials_that_is_wrong_is_refused(tmp_path: Path, content: str, mode: int, reason: str) -> None:
    """With the reason, and nothing of what it holds."""
    path = tmp_path / "credentials"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(mode)
    with pytest.raises(InvalidSetting, match=reason) as error:
        read_credentials(path)
    assert "geheim" not in str(error.value).lower()


def test_an_nkey_is_as_nats_has_it() -> None:
    """A real server takes the public part of it, and the signature: the tests above.  Here: what is broken is seen."""
    key = Nkey.make()
    again = Nkey.from_seed(key.seed)
    assert (again.public, again.sign("nonce")) == (key.public, key.sign("nonce"))
    assert (key.seed[:2], key.public[:1]) == ("SU", "U")
    for broken in (
        key.seed[:-1],
        key.seed + "A",
        key.seed[:10] + ("B" if key.seed[10] != "B" else "C") + key.seed[11:],
    ):
        with pytest.raises(ValueError, match="no seed of an nkey"):
            Nkey.from_seed(broken)


def test_wrong_credentials_are_refused_at_once(nats: DevCluster, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.nk"
    stranger.write_text(Nkey.make().seed)
    stranger.chmod(0o600)
    with pytest.raises(ClusterRefused, match="Authorization Violation"):
        reach(settings(nats, credentials=str(stranger)), timeout_s=WITHIN_S)


def test_no_server_is_told_with_its_address() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(ClusterUnreachable, match=f"{url} cannot be used: .*Connect call failed"):
            reach(ClusterSettings(servers=(url,)), timeout_s=WITHIN_S)


def test_one_of_several_servers_is_enough(nats: DevCluster) -> None:
    nats.kill("n1")
    assert reach(settings(nats, servers=(nats.urls[0], nats.urls[2])), timeout_s=WITHIN_S)


def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wanted = ClusterSettings(servers=(f"nats://127.0.0.1:{silent.getsockname()[1]}",))
        with pytest.raises(ClusterUnreachable):
            reach(wanted, timeout_s=1.0)


@contextmanager
def claiming(info: str) -> Generator[str]:
    """Something that greets as a NATS server does."""

    def serve() -> None:
        while True:
            try:
                there, _ = listener.accept()
            except OSError:
                return
            with there:
                there.sendall(f"INFO {info}\r\n".encode())
                while data := there.recv(4096):
                    if b"PING" in data:
                        there.sendall(b"PONG\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"nats://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(WITHIN_S)


@pytest.mark.parametrize("version", ["2.9.25", "2.12.6", "2.13.0", ""])
def test_a_server_that_is_too_old_is_refused(version: str) -> None:
    info = f'{{"server_name":"old","version":"{version}","jetstream":true,"max_payload":1048576}}'
    with (
        claiming(info) as url,
        pytest.raises(ClusterUnfit, match=r"NATS server old.*is too old.*2.12.7.*update it"),
    ):
        reach(ClusterSettings(servers=(url,)))


@pytest.mark.parametrize("info", ["{", "[]", "no JSON", "x" * 5000])
def test_something_else_that_listens_there_is_no_cluster(info: str) -> None:
    with claiming(info) as url, pytest.raises(ClusterError):
        reach(ClusterSettings(servers=(url,)), timeout_s=2.0)


def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    with (
        single(tmp_path / "n", "server_name: plain") as url,
        pytest.raises(ClusterUnfit, match="plain: has no JetStream; add `jetstream"),
    ):
        reach(ClusterSettings(servers=(url,)))


def certificate(folder: Path, name: str, signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((signer[1] if signer else key).public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, signer is None, signer is None, False, False), critical=True
        )
        .sign(signer[1] if signer else key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made, key


def test_tls_with_the_right_authority_and_with_none_other(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "ca", None)
    certificate(tmp_path, "other", None)
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "mars", authority)
    said = f"""
jetstream {{ store_dir: "{tmp_path}/js" }}
tls {{ cert_file: "{tmp_path}/server.crt", key_file: "{tmp_path}/server.key", ca_file: "{tmp_path}/ca.crt", verify: true }}
"""
    ours = {"certificate": str(tmp_path / "mars.crt"), "key": str(tmp_path / "mars.key")}
    with single(tmp_path / "n", said) as url:
        tls = ClusterTls(ca=str(tmp_path / "ca.crt"), **ours)
        assert reach(ClusterSettings(servers=(url.replace("nats:", "tls:"),), tls=tls))
        for wrong in (ClusterTls(ca=str(tmp_path / "other.crt"), **ours), ClusterTls(ca=str(tmp_path / "ca.crt"))):
            with pytest.raises(ClusterError):
                reach(ClusterSettings(servers=(url,), tls=wrong), timeout_s=3.0)
    with pytest.raises(InvalidSetting, match=r"cluster.tls.*cannot be used"):
        reach(ClusterSettings(servers=(url,), tls=ClusterTls(ca=str(tmp_path / "nothing.crt"))))


def test_a_server_in_clear_is_not_taken_for_one_with_tls(nats: DevCluster) -> None:
    with pytest.raises(ClusterRefused, match="TLS"):
        reach(settings(nats, servers=(nats.urls[0].replace("nats:", "tls:"),)), timeout_s=WITHIN_S)


def test_it_moves_to_another_server_when_its_own_stands_still(nats: DevCluster) -> None:
    """And tells who wants to know."""

    async def main() -> None:
        async with await Connection.open(settings(nats)) as connection:
            changes: asyncio.Queue[bool] = asyncio.Queue()
            connection.on_change(changes.put_nowait)
            former = connection.server
            nats.pause(former)
            async with asyncio.timeout(WITHIN_S):
                assert await changes.get() is False
                assert await changes.get() is True
            assert connection.is_connected
            assert connection.server != former

    asyncio.run(main())


def test_a_connection_that_takes_nothing_any_more_is_closed_all_the_same(nats: DevCluster) -> None:
    """Though much is on its way, which nobody reads."""

    async def main(port: int) -> float:
        connection = await Connection.open(settings(nats, servers=(f"nats://127.0.0.1:{port}",)))
        between.stall(*WAYS)
        for _ in range(300):
            await connection.nats.publish("nobody", bytes(100_000))
            await asyncio.sleep(0)
        began_s = time.monotonic()
        async with asyncio.timeout(WITHIN_S):
            await connection.close()
        assert connection.closed.is_set()
        return time.monotonic() - began_s

    with network(nats.servers[0].port) as between:
        assert asyncio.run(main(between.port)) < WITHIN_S / 2


def test_what_we_may_not_do_is_told_as_such(tmp_path: Path) -> None:
    key = Nkey.make()
    path = tmp_path / "mars.nk"
    path.write_text(key.seed)
    path.chmod(0o600)
    user = f'{{ nkey: {key.public}, permissions: {{ publish: ["allowed"], subscribe: ["_INBOX.>"] }} }}'
    with single(
        tmp_path / "n", f'authorization {{ users: [ {user} ] }}\njetstream {{ store_dir: "{tmp_path}/js" }}'
    ) as url:

        async def main() -> None:
            async with await Connection.open(ClusterSettings(servers=(url,), credentials=str(path))) as connection:
                with (
                    pytest.raises(ClusterRefused, match=r"making a stream.*ermissions"),
                    connection.asking("making a stream"),
                ):
                    await connection.nats.request("$JS.API.STREAM.CREATE.x", b"{}", timeout=1.0)

        asyncio.run(main())


def test_the_credentials_of_the_system_account_are_of_no_use_for_a_master(nats: DevCluster) -> None:
    with pytest.raises(ClusterError):
        asyncio.run(_make_stream(settings(nats, credentials=str(nats.credentials(SYSTEM)))))


async def _make_stream(wanted: ClusterSettings) -> None:
    async with await Connection.open(wanted) as connection:
        with connection.asking("looking at the account"):
            await connection.jetstream.account_info()


def test_each_master_has_credentials_of_its_own(tmp_path: Path) -> None:
    servers = DevCluster(tmp_path / "c", {"mars": Allowed(), "venus": Allowed()})
    servers.prepare()
    seeds = {path.read_text() for path in servers.folder.glob("*.nk")}
    assert len(seeds) == 3
    assert os.stat(servers.credentials("venus")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("apart_s", [-3600.0, 11.0])
def test_a_server_whose_clock_is_another_one_is_refused(
    nats: DevCluster, monkeypatch: pytest.MonkeyPatch, apart_s: float
) -> None:
    assert reach(settings(nats))
    monkeypatch.setattr(clock, "now_s", lambda: time.time() - apart_s)
    with pytest.raises(ClusterUnfit, match=r"its clock and ours are (11|3600) s apart; run chrony"):
        reach(settings(nats))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-29T10:00:00.123456789Z", 0.0),
        ("2026-11-29T10:00:00Z", 0.0),
        ("2026-11-29T10:00:30Z", 28.0),
        ("2026-11-29T09:59:30Z", -29.0),
        ("", None),
        ("soon", None),
    ],
)
def test_a_clock_is_as_far_as_it_must_be(told: str, expected: float | None) -> None:
    """How long the question and the answer were on their way is not known."""
    at_s = dt.datetime(2026, 11, 29, 10, tzinfo=dt.UTC).timestamp()
    assert clock.apart_s(told, at_s - 1.0, at_s + 2.0) == expected
