"""Rules for webhooks: which tag a delivery gets, and what stands in its event.  Pure.

A tag is made of text of the operator's and of headers that he has named; what a stranger says can fill one segment with
letters and digits, and never lead out of where the operator has put it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from sylvite.auth.policy import OWN_PREFIX, SALT_PREFIX
from sylvite.auth.webhooks import Delivery, Shown
from sylvite.core.event import pack_data
from sylvite.core.tag import check_tag
from sylvite.errors import InvalidData, InvalidInput, InvalidSetting

SALT_HOOKS = "salt/netapi/hook/"
"""Where Salt's own API puts what it is sent: the one place of Salt's that a hook may write to."""
EVENT_HEADERS: Mapping[str, str] = {"github": "x-github-event", "gitlab": "x-gitlab-event"}
"""What `{event}` stands for."""
SECRET_HEADERS = frozenset(("authorization", "cookie", "x-gitlab-token", "proxy-authorization"))
HEADER_CHARACTERS_MAX = 1024
FIELDS_MAX = 64
_header_name = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_field = re.compile(r"\{([^{}]*)\}")
_value = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Template:
    """`fields`: from the name of a field to the header that fills it."""

    def __init__(self, name: str, text: str, fields: Mapping[str, str]) -> None:
        """Raises InvalidSetting: it is no tag, or has a field that is not declared; `name` is that of the setting."""
        self._parts = _field.split(text)  # text, field, text, field, ..., text
        self._fields = fields
        prefix = self._parts[0]
        for field in self._parts[1::2]:
            if field not in fields:
                known = ", ".join(f"{{{each}}}" for each in fields) or "none: name headers first"
                raise InvalidSetting(name, text, f"has the field {{{field}}}; there are {known}")
        if any(brace in part for part in self._parts[::2] for brace in "{}"):
            raise InvalidSetting(name, text, "has a brace that belongs to no field")
        if len(self._parts) > 1 and not prefix.endswith("/"):
            raise InvalidSetting(name, text, "must begin with text of its own that ends in /, such as hooks/ci/{event}")
        if text.startswith(OWN_PREFIX) or (text.startswith(SALT_PREFIX) and not prefix.startswith(SALT_HOOKS)):
            raise InvalidSetting(name, text, f"is not for others to write; of Salt's own there is {SALT_HOOKS} alone")
        try:
            check_tag("".join(self._parts[::2]) or "")
        except InvalidInput as error:
            raise InvalidSetting(name, text, f"makes no tag: {error}") from error

    def fill(self, headers: Mapping[str, str]) -> str:
        """Return the tag.  Raises InvalidInput: a header is missing, or cannot be a segment of a tag."""
        parts = list(self._parts)
        for index in range(1, len(parts), 2):
            header = self._fields[parts[index]]
            value = headers.get(header, "").strip().replace(" ", "_")
            if not _value.fullmatch(value) or not value.strip("."):
                raise InvalidInput(
                    f"the header {header} must have 1 to 64 letters, digits, dots, dashes and blanks here"
                )
            parts[index] = value
        return check_tag("".join(parts))


class Rule(NamedTuple):
    """`headers`: those that go into the event, in small letters."""

    template: Template
    headers: Sequence[str]


def read_rule(name: str, scheme: str, tag: str, headers: Sequence[str]) -> Rule:
    """Return the rule of a hook.  Raises InvalidSetting."""
    known = [header.lower() for header in headers]
    for header in known:
        if not _header_name.fullmatch(header):
            raise InvalidSetting(f"{name}.headers", header, "is no name of a header")
        if header in SECRET_HEADERS:
            raise InvalidSetting(f"{name}.headers", header, "carries a secret, which does not belong into events")
    fields = {header: header for header in known}
    if scheme in EVENT_HEADERS:
        fields["event"] = EVENT_HEADERS[scheme]
    return Rule(Template(f"{name}.tag", tag, fields), known)


def make_event(hook: str, rule: Rule, delivery: Delivery, shown: Shown) -> tuple[str, dict[str, Any]]:
    """Return the tag and the data of a delivery's event.  Raises InvalidInput: it can have no tag."""
    tag = rule.template.fill(delivery.headers)
    present = {
        name: delivery.headers[name][:HEADER_CHARACTERS_MAX] for name in rule.headers if name in delivery.headers
    }
    data = {"hook": hook, "id": shown.id, "headers": present, "body": _value_of(delivery)}
    return tag, data


def _value_of(delivery: Delivery) -> Any:
    """Return the body as a value: what JSON or a form says, else its text, else its bytes.

    What cannot be read as what it says it is, is kept as it came: the sender would not mend it, and the event would be lost.
    """
    kind = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            value = msgspec.json.decode(delivery.body)
            pack_data({"body": value})
            return value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidData):
            pass  # It is text, then.
    try:
        text = delivery.body.decode()
    except UnicodeDecodeError:
        return delivery.body
    if kind == "application/x-www-form-urlencoded":
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
        except ValueError:
            pass  # More fields than that.
    return text
