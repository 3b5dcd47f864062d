"""The command line, with tenures of 2 s: `python -m tests.cluster.quick_member ARGUMENTS`."""

from __future__ import annotations

import sys
from typing import cast

from sylvite.cli.main import main
from sylvite.cluster.groups import Group

LIFE_S = 2.0

if __name__ == "__main__":
    cast("dict[str, object]", Group.__init__.__kwdefaults__)["life_s"] = LIFE_S
    sys.exit(main())
