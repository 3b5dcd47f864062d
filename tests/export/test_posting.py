"""One request: what is sent, and what answers of every kind come to."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from sylvite.auth.certificates import make_certificate
from sylvite.errors import InvalidSetting
from sylvite.export.address import Address, parse_networks, parse_url
from sylvite.export.judging import ASKED_S_MAX, Outcome
from sylvite.export.posting import Poster
from tests.daemons.nodes import WITHIN_S
from tests.export.receiver import Receiver, Reply

LOCAL = parse_networks(["127.0.0.0/8"])


def post(url: str, *, timeout_s: float = WITHIN_S, ca_file: str | None = None) -> Outcome:
    poster = Poster(parse_url(url, allow_http=True), LOCAL, timeout_s, ca_file)
    return asyncio.run(poster.post(b'{"a": 1}', {"content-type": "application/json"}))


def answered(*pieces: bytes, timeout_s: float = WITHIN_S, stays: bool = False, pause_s: float = 0.0) -> Outcome:
    """Post to a server that reads the request and says this, a piece at a time; `stays`: and does not hang up."""

    async def scene() -> Outcome:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if pause_s:
                        await asyncio.sleep(pause_s)
                if stays:
                    await over.wait()
            except (OSError, asyncio.IncompleteReadError):
                pass  # The other side has gone.
            finally:
                writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            poster = Poster(parse_url(f"http://127.0.0.1:{port}/a", allow_http=True), LOCAL, timeout_s)
            try:
                return await poster.post(b"{}", {})
            finally:
                over.set()

    return asyncio.run(scene())


def test_what_is_sent() -> None:
    with Receiver() as receiver:
        assert post(receiver.url).is_taken
        got = receiver.next()
    assert got.body == b'{"a": 1}'
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 204\r\n\r\n", 204),
        (b"HTTP/1.1 202 Accepted\nx: y\n\n", 202),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\n\r\n", 201),
        (b"HTTP/1.1 301 Moved\r\nlocation: http://169.254.169.254/\r\n\r\n", 301),
        (b"HTTP/1.1 500 \r\n\r\n", 500),
        (b"", None),
        (b"\r\n", None),
        (b"SSH-2.0-OpenSSH_9.6\r\n", None),
        (b"HTTP/2 200 OK\r\n\r\n", None),
        (b"HTTP/1.1 20 OK\r\n\r\n", None),
        (b"HTTP/1.1 2000 OK\r\n\r\n", None),
        (b"HTTP/1.1 \xff\xfe\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nx: y\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 200, None),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000, None),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, None),
    ],
)
def test_answers_of_every_kind(said: bytes, status: int | None) -> None:
    outcome = answered(said)
    assert outcome.status == status
    assert outcome.reason


def test_the_body_of_an_answer_is_not_waited_for() -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n" + b"x" * 1_000_000
    assert answered(endless, stays=True).status == 200


@pytest.mark.parametrize("pieces", [(), tuple(b"HTTP/1.1 200 OK\r\n"[at : at + 1] for at in range(17))])
def test_all_of_it_has_one_deadline(pieces: Sequence[bytes]) -> None:
    """A receiver that says nothing, and one that says a sign now and then."""
    began = time.monotonic()
    outcome = answered(*pieces, timeout_s=0.5, stays=True, pause_s=0.2)
    assert (outcome.status, outcome.reason) == (None, "no answer within 0.5 s")
    assert time.monotonic() - began < WITHIN_S / 2


def test_a_name_that_is_looked_up_for_ever_has_it_too() -> None:
    async def never(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        return []

    poster = Poster(parse_url("https://example.com/", allow_http=False), (), 0.2, look_up=never)
    assert asyncio.run(poster.post(b"{}", {})).reason == "no answer within 0.2 s"


def test_the_next_address_of_a_name_is_tried() -> None:
    async def two(host: str, port: int) -> list[Address]:
        return [ipaddress.ip_address("127.0.0.9"), ipaddress.ip_address("127.0.0.1")]

    with Receiver() as receiver:
        poster = Poster(parse_url(f"http://a.test:{receiver.port}/", allow_http=True), LOCAL, WITHIN_S, look_up=two)
        assert asyncio.run(poster.post(b"{}", {})).is_taken
        assert receiver.next().headers["host"] == f"a.test:{receiver.port}"


@pytest.mark.parametrize("host", ["a" * 70 + ".test", "a..test", "nobody.invalid"])
def test_names_that_lead_nowhere(host: str) -> None:
    outcome = post(f"http://{host}/")
    assert outcome.status is None
    assert "looked up" in outcome.reason or "reached" in outcome.reason


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("7", 7, 7),
        ("999999999999", ASKED_S_MAX, ASKED_S_MAX),
        (format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True), ASKED_S_MAX, ASKED_S_MAX),
        (format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0, 0),
        ("Mon, 01 Jan 2035 00:00:00", 0, 0),
        ("soon", 0, 0),
        ("-1", 0, 0),
    ],
)
def test_pauses_that_are_asked_for(said: str, least: float, most: float) -> None:
    outcome = answered(f"HTTP/1.1 503 Busy\r\nRetry-After: {said}\r\n\r\n".encode())
    assert least <= outcome.asked_s <= most


# -- TLS ---------------------------------------------------------------------------------------------------------------


def _tls(folder: Path, *names: str) -> tuple[ssl.SSLContext, str]:
    made = make_certificate(names, 1, datetime.now(UTC))
    (folder / "key").write_bytes(made.key)
    (folder / "crt").write_bytes(made.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context, str(folder / "crt")


def test_tls_with_a_certificate_that_is_known(tmp_path: Path) -> None:
    tls, ca_file = _tls(tmp_path, "localhost")
    with Receiver(tls=tls) as receiver:
        assert post(f"https://localhost:{receiver.port}/", ca_file=ca_file).is_taken
        stranger = post(f"https://localhost:{receiver.port}/")
        assert (stranger.status, "not believed" in stranger.reason) == (None, True)
        other = post(f"https://127.0.0.1:{receiver.port}/", ca_file=ca_file)
        assert (other.status, "not believed" in other.reason) == (None, True)
        assert len(receiver.got) == 1


def test_what_speaks_no_tls() -> None:
    with Receiver() as receiver:
        outcome = post(f"https://127.0.0.1:{receiver.port}/", timeout_s=5.0)
    assert outcome.status is None


def test_a_file_without_certificates(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for path in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(InvalidSetting, match="ca_file"):
            Poster(parse_url("https://a.test/", allow_http=False), (), 1.0, str(path))


def test_a_receiver_that_is_slow_costs_nobody_else_time() -> None:
    """In one loop, as all webhooks are."""
    never = threading.Event()

    async def both(slow: Receiver, quick: Receiver) -> float:
        waiting = asyncio.create_task(
            Poster(parse_url(slow.url, allow_http=True), LOCAL, WITHIN_S).post(b"{}", {})
        )  # fmt: skip
        await asyncio.to_thread(slow.next)
        began = time.monotonic()
        for _ in range(20):
            assert (await Poster(parse_url(quick.url, allow_http=True), LOCAL, WITHIN_S).post(b"{}", {})).is_taken
        taken_s = time.monotonic() - began
        assert not waiting.done()
        never.set()
        await waiting
        return taken_s

    with Receiver(lambda _: Reply(after=never)) as slow, Receiver() as quick:
        assert asyncio.run(both(slow, quick)) < WITHIN_S
