"""What a webhook out is: which events it wants, where they go, and how long that is tried."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from sylvite.auth.webhooks import Secret
from sylvite.errors import InvalidSetting

NAME = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`tags`, `exclude`: patterns; without tags all events.  `ca_file`: whom to believe in the place of the system's.

    `give_up_s`: how long one event is tried before it is a dead letter.  `allow_networks`: private ones that may be posted to.
    """

    url: str
    tags: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    where: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = msgspec.field(default=15.0, name="timeout")
    give_up_s: Annotated[float, msgspec.Meta(ge=0, le=30 * 86_400)] = msgspec.field(default=86_400.0, name="give_up")
    allow_http: bool = False
    allow_networks: tuple[str, ...] = ()
    ca_file: str | None = None

    def checked(self) -> WebhookSettings:
        """Return it, if its numbers can be.  Raises InvalidSetting."""
        try:
            return msgspec.convert(msgspec.to_builtins(self), type(self))
        except msgspec.ValidationError as error:
            raise InvalidSetting("webhook", self.url, f"cannot be: {error}") from error


class Webhook(NamedTuple):
    """`secrets`: the newest first; each delivery is signed with all of them."""

    name: str
    settings: WebhookSettings
    secrets: tuple[Secret, ...]

    @property
    def cursor(self) -> str:
        """The name of its durable place in the log."""
        return f"webhooks/{self.name}"
