"""Senders of webhooks for tests, and an interface that has hooks for them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

from sylvite.auth.webhooks import Secret, sign
from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import Answer, Api

STANDARD = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OLDER = Secret("whsec_b2xkZXIgc2VjcmV0IG9mIDI4IGJ5dGVzLi4uLg==")
PLAIN = Secret("It's a Secret to Everybody")
SECRETS = {"standard": [STANDARD, OLDER], "plain": [PLAIN]}
HOOKS: dict[str, dict[str, Any]] = {
    "std": {"scheme": "standard", "secret_file": "standard", "tag": "hooks/std"},
    "github": {"scheme": "github", "secret_file": "plain", "tag": "hooks/github/{event}", "headers": ["X-GitHub-Delivery"]},
    "gitlab": {"scheme": "gitlab", "secret_file": "plain", "tag": "hooks/gitlab/{event}"},
    "shared": {"scheme": "shared-secret", "secret_file": "plain", "tag": "hooks/shared", "max_bytes": 64, "per_second": 100},
}  # fmt: skip


def configure(folder: Path, hooks: dict[str, dict[str, Any]] = HOOKS, **options: Any) -> Path:
    """Write a configuration with these hooks and their secrets, and other options; return its path."""
    for name, secrets in SECRETS.items():
        file = folder / name
        file.write_text("".join(f"{secret.reveal()}\n" for secret in secrets))
        file.chmod(0o600)
    wanted = {name: {**hook, "secret_file": str(folder / hook["secret_file"])} for name, hook in hooks.items()}
    config = folder / "hooks.yaml"
    config.write_text(json.dumps({"webhooks_in": wanted, **options}))
    return config


def hooked(broker: BrokerProcess, folder: Path, hooks: dict[str, dict[str, Any]] = HOOKS) -> Api:
    return Api(broker, "--master", str(configure(folder, hooks)))


def standard(id_: str, body: bytes = b"{}", *, secrets: list[Secret] | None = None, away_s: int = 0) -> dict[str, str]:
    """Return the headers of a delivery as Standard Webhooks wants them."""
    at = int(time.time()) + away_s
    return {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": sign(secrets or [STANDARD], id_, at, body)}  # fmt: skip


def github(body: bytes, event: str = "push", delivery: str = "1") -> dict[str, str]:
    mac = hmac.new(PLAIN.key, body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={mac}", "X-GitHub-Event": event, "X-GitHub-Delivery": delivery}


def post(api: Api, hook: str, body: bytes, headers: dict[str, str]) -> Answer:
    return api.ask("POST", f"/v1/hooks/{hook}", "", body, **{"Content-Type": "application/json", **headers})


def events(broker: BrokerProcess, tag: str = "hooks/") -> list[Any]:
    """Return what is in the log below a tag."""
    with (
        Client.connect(broker.socket) as client,
        client.subscribe(startswith=tag, since="oldest", until_end=True) as found,
    ):
        return list(found)
