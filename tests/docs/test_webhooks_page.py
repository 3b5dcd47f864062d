"""docs/webhooks.md: its tables, against the code."""

from __future__ import annotations

import re

import msgspec

from sylvite.auth.webhooks import SCHEMES
from sylvite.daemons.options.webhooks import WebhookIn, WebhookOut
from sylvite.export.judging import GONE, MOST_S, REFUSALS, REFUSED_ATTEMPTS
from sylvite.export.store import DEAD_BYTES_MAX, DEAD_MAX
from tests.docs.blocks import PROJECT

PAGE = (PROJECT / "docs" / "webhooks.md").read_text()


def rows(after: str) -> list[list[str]]:
    """Return the rows of the table with that head."""
    table = PAGE[PAGE.index(after) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in table]


def settings(kind: type[msgspec.Struct]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        default = "" if field.default is msgspec.NODEFAULT else field.default
        if isinstance(default, float) and default.is_integer():
            default = int(default)
        found[field.encode_name] = "" if default == "" else f"`{default if default != () else '[]'}`"
    return found


def test_every_setting_of_a_hook_with_its_default() -> None:
    shown = {row[0].strip("`"): row[1] for row in rows("| setting | default | |\n|---|---|---|\n| `scheme`")}
    assert shown == settings(WebhookIn)


def test_every_scheme() -> None:
    assert [re.findall(r"`([\w-]+)`", row[0])[0] for row in rows("| `scheme` | what is looked at")] == list(SCHEMES)


def test_every_setting_of_a_webhook_with_its_default() -> None:
    shown = {row[0].strip("`"): row[1] for row in rows("| setting | default | |\n|---|---|---|\n| `url`")}
    assert shown == settings(WebhookOut)


def test_what_follows_from_an_answer() -> None:
    gone, refused, _ = rows("| the receiver answers")
    assert gone[0] == str(GONE)
    assert {int(each) for each in refused[0].split(", ")} == REFUSALS
    assert f"after {REFUSED_ATTEMPTS} attempts" in refused[1]
    assert f"to {MOST_S / 60:g} minutes" in PAGE
    assert f"up to {DEAD_MAX:,} of a webhook, or {DEAD_BYTES_MAX // 2**20} MiB" in PAGE
