"""The options about webhooks: requests of others that become events, and events that go out as requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from sylvite.auth.hook_rules import read_rule
from sylvite.core.duration import parse_bytes, parse_duration_s
from sylvite.errors import InvalidSetting
from sylvite.export.address import parse_networks, parse_url
from sylvite.export.settings import NAME, WebhookSettings

BODY_BYTES_MAX = 1024 * 1024
"""Of a delivery, as of an event."""
_durations = ("window", "timeout", "give_up")


class WebhookIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who may post to `/v1/hooks/NAME`, and what becomes of it: docs/webhooks.md."""

    scheme: Literal["standard", "github", "gitlab", "stripe", "shared-secret"]
    secret_file: str
    tag: str
    headers: tuple[str, ...] = ()
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=BODY_BYTES_MAX)] = BODY_BYTES_MAX
    per_second: Annotated[float, msgspec.Meta(gt=0)] | None = 50.0
    window_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = msgspec.field(default=300.0, name="window")
    secret_header: str = "Authorization"
    id_header: str = "Idempotency-Key"


class WebhookOut(WebhookSettings, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which events are posted where, and the file with the secret that they are signed with: docs/webhooks.md."""

    secret_file: str


Settings = TypeVar("Settings", bound=msgspec.Struct)
Name = Annotated[str, msgspec.Meta(pattern=NAME)]


def read_webhooks_in(value: Any) -> Any:
    """Return what a file says, with its durations and sizes as numbers.  Raises ValueError: also where a rule cannot be."""
    found = _read_each(value)
    for name, hook in _settings_of(found, WebhookIn).items():
        read_rule(name, hook.scheme, hook.tag, hook.headers)
    return found


def read_webhooks_out(value: Any) -> Any:
    """As `read_webhooks_in`; also where a URL or a network cannot be."""
    found = _read_each(value)
    for name, webhook in _settings_of(found, WebhookOut).items():
        try:
            parse_url(webhook.url, allow_http=webhook.allow_http)
            parse_networks(webhook.allow_networks)
        except InvalidSetting as error:
            raise InvalidSetting(f"{name}.{error.name}", error.value, error.reason) from error
    return found


def _settings_of(found: Any, kind: type[Settings]) -> dict[str, Settings]:
    """Raises ValueError: an InvalidSetting that says which of them is wrong, where one is."""
    settings: dict[str, Settings] = {}
    for name, said in msgspec.convert(found, dict[Name, dict[str, Any]]).items():
        try:
            settings[name] = msgspec.convert(said, kind)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at `$")
            raise InvalidSetting(f"{name}{where.rstrip('`')}", None, reason) from error
    return settings


def _read_each(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _read(settings) for name, settings in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - YAML


def _read(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    found: dict[Any, Any] = dict(settings)  # pyright: ignore[reportUnknownArgumentType] - YAML
    for name in _durations:
        if isinstance(found.get(name), str):
            found[name] = parse_duration_s(found[name])
    if isinstance(found.get("max_bytes"), str):
        found["max_bytes"] = parse_bytes(found["max_bytes"])
    for name in ("tags", "exclude", "headers", "allow_networks"):
        if isinstance(found.get(name), str):
            found[name] = [found[name]]
    return found


def write_webhooks(value: Any) -> Any:
    """Undo it, for showing."""
    return msgspec.to_builtins(value)
