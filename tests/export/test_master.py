"""A master that has webhooks posts their events; one that gets its first does from SIGHUP on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from sylvite.client.sync_client import Client
from tests.api.hooking import STANDARD
from tests.daemons.nodes import WITHIN_S, Site, children_of, part_of, until
from tests.export.receiver import Receiver
from tests.export.sender import LOCAL


def test_a_master_posts_events(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(STANDARD.reveal())
    secret.chmod(0o600)
    site = Site(tmp_path)
    with Receiver() as receiver:
        webhook = {
            "url": receiver.url, "secret_file": str(secret), "tags": "a/*", "allow_http": True, "allow_networks": "127.0.0.0/8",
        }  # fmt: skip
        wrong = {**webhook, "secret_file": str(tmp_path / "none")}
        site.write(
            site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master",
            webhooks_out=json.dumps({"conf": webhook, "wrong": wrong}),
        )  # fmt: skip
        with site.master() as master, Client.connect(site.bus) as client:
            until(lambda: "webhooks/conf" in [each["name"] for each in client.ask("cursors")["cursors"]])
            client.publish("a/b", {})
            assert receiver.next().is_signed_with(STANDARD)
            os.kill(part_of(master, "webhooks"), signal.SIGKILL)
            client.publish("a/c", {})
            # What it had posted may come once more; then what came meanwhile.
            until(lambda: receiver.got[-1].event["tag"] == "a/c")
            assert "webhooks_out.wrong.secret_file" in master.log.read_text()


def test_the_first_webhook_of_a_master_needs_no_restart(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with Receiver() as receiver, site.master() as master:
        assert "webhooks" not in children_of(master.pid)
        subprocess.run(
            [sys.executable, "-m", "sylvite", "webhooks", "add", "first", receiver.url, *LOCAL, "-t", "a/*", "--config", str(site.master_file)],
            check=True, timeout=WITHIN_S, capture_output=True,
        )  # fmt: skip
        with Client.connect(site.bus) as client:
            client.publish("a/b", {})
        os.kill(master.pid, signal.SIGHUP)
        assert receiver.next().event["tag"] == "a/b"
        assert master.stop() == 0
