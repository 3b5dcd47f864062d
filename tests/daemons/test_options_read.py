"""Every option is read by something: one that is only documented would be a promise that nobody keeps."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.node import NodeOptions

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
