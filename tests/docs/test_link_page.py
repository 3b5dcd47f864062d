"""The tables of docs/link.md, against the code."""

from __future__ import annotations

import pytest

from sylvite.link import forwarding, master_end, messages, minion_end, uplink
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
    assert limits["TLS handshake"] == f"{master_end.HANDSHAKE_S:g} s"
    assert limits["proof"] == f"{master_end.PROOF_S:g} s"
    assert limits["on its way up, not taken"] == f"{uplink.WINDOW_BYTES // 1024**2} MiB"
    assert limits["silence"] == f"{minion_end.SILENT_S:g} s, with a ping every {minion_end.PING_S:g} s"
    least, most = minion_end.BACK_OFF_S
    assert limits["connecting again"] == f"{least:g} s, growing to {most:g} s, at random below that"
    assert limits["events of one load"] == f"{forwarding.EVENTS_MAX:,}"
    jobs = limits["jobs whose returns are known to be somebody's"]
    assert (jobs, master_end.JOBS_SINCE) == (f"{master_end.JOBS_MAX:,}, of the last day", "24h")


@pytest.mark.parametrize(
    "tag", ["salt/key", "sylvite/x", "syndic/x", "cluster/x", "key", "log/x", "agent/x", "resource/x"]
)
def test_what_is_never_a_minions_to_write(tag: str) -> None:
    never = table_under(PAGE, "Exactly once, in order")[-1]
    assert never[1] == "never"
    assert tag.partition("/")[0] in never[0]
    assert forwarding.why_not("alpha", tag, lambda _: True)
