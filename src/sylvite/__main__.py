"""`python -m sylvite`: the command line."""

import sys

from sylvite.cli.main import main

sys.exit(main())
