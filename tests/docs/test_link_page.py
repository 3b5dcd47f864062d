"""The tables of docs/link.md, against the code."""

from __future__ import annotations

import pytest

from sylvite.link import forwarding, known_jobs, master_end, messages, minion_end, minion_wire, uplink
from sylvite.link.settings import LinkSettings
from tests.docs.blocks import PROJECT, table_under
from tests.docs.messages import messages_of, shown_messages, speakers

PAGE = PROJECT / "docs" / "link.md"


def test_messages() -> None:
    assert shown_messages(PAGE) == messages_of(messages.KINDS)


def test_who_says_what() -> None:
    for name, shown, said in speakers(PAGE, {"minion": messages.MINION_SAYS, "master": messages.MASTER_SAYS}):
        assert said == shown, name


def test_limits() -> None:
    limits = {what: limit for what, limit, _ in table_under(PAGE, "Limits")}
    settings = LinkSettings()
    line = f"{settings.line_max:,}, {settings.line_per_address_max:,} of one address"
    assert limits["in the line before TLS"] == line
    assert limits["handshakes under way"] == f"{settings.half_open_max:,}"
    assert limits["TLS handshake"].startswith(f"{minion_wire.HANDSHAKE_S:g} s")
    assert limits["not read by a minion"] == f"{minion_wire.WAITING_BYTES_MAX // 1024**2} MiB"
    assert limits["grains of a minion"] == f"{messages.FACTS_BYTES_MAX // 1024} KiB"
    assert limits["on its way up, not taken"] == f"{uplink.WINDOW_BYTES // 1024**2} MiB"
    assert limits["silence"] == f"{minion_end.SILENT_S:g} s, with a ping every {minion_end.PING_S:g} s"
    assert limits["events of one load"] == f"{forwarding.EVENTS_MAX:,}"
    jobs = limits["jobs whose returns are known to be somebody's"]
    assert (jobs, master_end.JOBS_SINCE) == (f"{known_jobs.JOBS_MAX:,}, of the last day", "24h")


@pytest.mark.parametrize(
    "tag", ["salt/key", "sylvite/x", "syndic/x", "cluster/x", "key", "log/x", "agent/x", "resource/x"]
)
def test_what_is_never_a_minions_to_write(tag: str) -> None:
    never = table_under(PAGE, "Exactly once, in order")[-1]
    assert never[1] == "never"
    assert tag.partition("/")[0] in never[0]
    assert forwarding.why_not("alpha", tag, lambda _: True)
