"""For all tests: properties may take their time, since the machine may be busy, and say how to repeat what failed."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("sylvite", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sylvite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script; what we start would ignore Ctrl-C too, and many a test presses it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
