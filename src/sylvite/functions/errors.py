"""What can go wrong with a call, by what one would do about it."""

from __future__ import annotations

from sylvite.errors import SylviteError


class FunctionNotAvailable(SylviteError):
    """There is no such function, or its module was not loaded; the message says why, in Salt's words."""

    code = "function_not_available"

    def __init__(self, name: str, reason: str | None = None) -> None:
        super().__init__(reason or f"'{name}' is not available.")
        self.name = name


class InvalidArguments(SylviteError):
    """The function cannot be called so.  The message is what Python says; `usage` is the function's docstring."""

    code = "invalid_arguments"

    def __init__(self, name: str, reason: str, usage: str) -> None:
        super().__init__(reason)
        self.name, self.usage = name, usage


class FunctionFailed(SylviteError):
    """The function raised; the cause is what it raised."""

    code = "function_failed"

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"Error running '{name}': {str(error) or type(error).__name__}")
        self.name = name


class NotStarted(SylviteError):
    """A process for a run could not be made; nothing was run."""

    code = "not_started"


class ModuleNotLoaded(Exception):
    """A module is not there; the message is the reason, for people.  It costs that module only."""
