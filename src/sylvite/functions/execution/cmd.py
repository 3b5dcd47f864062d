"""Run programs.  Off, unless the configuration names it: `enable_modules: [cmd]`."""

from __future__ import annotations

from typing import Any

from sylvite.functions.given import __context__, __opts__
from sylvite.functions.program import Finished, run_program


def __virtual__() -> bool | tuple[bool, str]:  # noqa: N807 - Salt's name
    if "cmd" in __opts__.get("enable_modules", ()):
        return True
    return False, "running programs is off; `enable_modules: [cmd]` in the configuration allows it"


def run(cmd: str | list[str], **kwargs: Any) -> str:
    """
    Run a program and return what it wrote, to stdout and stderr.

    cmd
        The program and its arguments, as a list or as a line.
    cwd
        The folder to run it in; the user's own without it.
    stdin
        Text to write to it.
    python_shell
        Give the line to a shell. Otherwise it is cut into words, and ``|``,
        ``>`` and ``$`` mean nothing.
    shell
        Which shell; /bin/sh without it.
    env
        More variables of its environment; a value of null takes one away.
    clean_env
        Nothing but those.
    timeout
        Seconds, after which it is killed with all it has started.
    ignore_retcode
        Do not count a return code as a failure.
    success_retcodes
        Other return codes that are none.

    CLI Example:

        sylvite call cmd.run 'ls -l /srv'
        sylvite call cmd.run 'ls | wc -l' python_shell=True
    """
    return _run(cmd, kwargs).both


def run_stdout(cmd: str | list[str], **kwargs: Any) -> str:
    """
    Run a program and return what it wrote to stdout. The arguments are those of cmd.run.

    CLI Example:

        sylvite call cmd.run_stdout 'ls -l /srv'
    """
    return _run(cmd, kwargs, apart=True).stdout


def run_stderr(cmd: str | list[str], **kwargs: Any) -> str:
    """
    Run a program and return what it wrote to stderr. The arguments are those of cmd.run.

    CLI Example:

        sylvite call cmd.run_stderr 'ls -l /srv'
    """
    return _run(cmd, kwargs, apart=True).stderr


def run_all(cmd: str | list[str], **kwargs: Any) -> dict[str, Any]:
    """
    Run a program and return pid, retcode, stdout and stderr. The arguments are those of cmd.run.

    CLI Example:

        sylvite call cmd.run_all 'ls -l /srv'
    """
    done = _run(cmd, kwargs, apart=True)
    return {"pid": done.pid, "retcode": done.retcode, "stdout": done.stdout, "stderr": done.stderr}


def retcode(cmd: str | list[str], **kwargs: Any) -> int:
    """
    Run a program and return its return code. The arguments are those of cmd.run.

    CLI Example:

        sylvite call cmd.retcode 'grep -q root /etc/passwd'
    """
    return _run(cmd, kwargs, apart=True).retcode


def shell(cmd: str, **kwargs: Any) -> str:
    """
    Give a line to a shell and return what it wrote. The arguments are those of cmd.run.

    CLI Example:

        sylvite call cmd.shell 'ls | wc -l'
    """
    return _run(cmd, {**kwargs, "python_shell": True}).both


def _run(cmd: str | list[str], kwargs: dict[str, Any], *, apart: bool = False) -> Finished:
    asked = {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}
    ignore = asked.pop("ignore_retcode", False)
    good = {0, *asked.pop("success_retcodes", ())}
    done = run_program(cmd, apart=apart, **asked)
    __context__["retcode"] = 0 if ignore or done.retcode in good else done.retcode
    return done
