"""For all tests: properties have no deadline, since the machine may be busy, and say how to repeat what failed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("sylvite", deadline=None, print_blob=True)
settings.load_profile("sylvite")
