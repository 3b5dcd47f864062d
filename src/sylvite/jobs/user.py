"""User: who asks for a job or runs a runner, as Salt names him in events."""

from __future__ import annotations

import os
import pwd


def calling_user() -> str:
    """Return who runs this, as Salt names him: `sudo_alice` for one who became root by sudo."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    sudo = os.environ.get("SUDO_USER")
    return f"sudo_{sudo}" if user == "root" and sudo and sudo != "root" else user
