"""The programs: see `sylvite.compat.programs`."""

import sys

from sylvite.cli.main import main
from sylvite.compat.programs import run_program


def _run(name: str) -> int:
    return run_program(name, sys.argv[1:], main)


def salt() -> int:
    return _run("salt")


def salt_call() -> int:
    return _run("salt-call")


def salt_run() -> int:
    return _run("salt-run")


def salt_cloud() -> int:
    return _run("salt-cloud")


def salt_key() -> int:
    return _run("salt-key")


def salt_master() -> int:
    return _run("salt-master")


def salt_minion() -> int:
    return _run("salt-minion")


def salt_api() -> int:
    return _run("salt-api")
