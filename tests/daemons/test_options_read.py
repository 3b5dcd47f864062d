"""Every option is read by something: one that is only documented would be a promise that nobody keeps."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.node import NodeOptions
from sylvite.daemons.options.reading import load_master

SOURCE = Path(__file__).parents[2] / "src" / "sylvite"
ONLY_DECLARED = ("daemons/options/master.py", "daemons/options/minion.py", "daemons/options/node.py",
                 "daemons/options/changing.py", "compat/defaults.py")  # fmt: skip
CODE = "\n".join(
    path.read_text() for path in SOURCE.glob("**/*.py") if str(path.relative_to(SOURCE)) not in ONLY_DECLARED
)


@pytest.mark.parametrize("kind", [MasterOptions, MinionOptions])
def test_every_option_is_read(kind: type[NodeOptions]) -> None:
    unread = [
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if not re.search(rf"\.{field.name}\b|[\"']{field.encode_name}[\"']", CODE)
    ]
    assert unread == []


@pytest.mark.parametrize(
    ("said", "line", "reason"),
    [
        ("webhooks_in:\n  ci: {scheme: github, secret_file: a, tag: 'hooks/{kind}'}\n", 2, "{kind}"),
        ("webhooks_in:\n  ci: {scheme: sha, secret_file: a, tag: b}\n", 2, "scheme"),
        ("webhooks_in:\n  'c i': {scheme: github, secret_file: a, tag: b}\n", 1, "a map of names"),
        ("webhooks_out:\n  out:\n    secret_file: a\n    url: http://a.test/\n", 4, "in the clear"),
        (
            "webhooks_out:\n  out:\n    url: https://a.test/\n    secret_file: a\n    allow_networks: ten\n",
            5,
            "no network",
        ),
        ("webhooks_out:\n  out:\n    url: https://a.test/\n", 2, "secret_file"),
    ],
)
def test_a_webhook_that_cannot_be_is_told_with_its_line(tmp_path: Path, said: str, line: int, reason: str) -> None:
    file = tmp_path / "master"
    file.write_text(said)
    (wrong,) = load_master(file).errors
    assert wrong.place is not None
    assert (wrong.place.line, reason in str(wrong)) == (line, True), wrong
