"""The exceptions of `salt.exceptions` that scripts written around events catch, with the same names and bases."""

from __future__ import annotations


class SaltException(Exception):
    """Base of all of them."""

    def __init__(self, message: object = "") -> None:
        super().__init__(message)
        self.message = str(message)
        self.strerror = self.message


class SaltClientError(SaltException):
    """Something is wrong with a client."""


class SaltClientTimeout(SaltException):
    """No answer in time.  `jid`: of the job that was asked."""

    def __init__(self, message: object = "", jid: str | None = None) -> None:
        super().__init__(message)
        self.jid = jid


class SaltMasterError(SaltException):
    """Something is wrong with a master."""


class SaltConfigurationError(SaltException):
    """A file of options that cannot be used."""


class SaltDeserializationError(SaltException):
    """Bytes that are no packed data."""


class SaltInvocationError(SaltException, TypeError):
    """A call with the wrong arguments, or of an object that is of the other kind."""


class SaltReqTimeoutError(SaltException):
    """No answer from a master in time."""


class SaltRunnerError(SaltException):
    """A runner has failed."""


class SaltSystemExit(SystemExit):
    """The program ends.  `code`: with this exit code."""

    def __init__(self, code: int = 0, msg: str | None = None) -> None:
        super().__init__(msg)
        self.code = code


class SaltDaemonNotRunning(SaltException):
    """There is nobody to talk to."""


class AuthenticationError(SaltException):
    """Somebody is not who he says he is."""


class AuthorizationError(SaltException):
    """Somebody may not do this."""


class EauthAuthenticationError(SaltException):
    """The log-in was refused."""


class TokenAuthenticationError(SaltException):
    """The token was refused."""


class CommandExecutionError(SaltException):
    """A function could not do what it was asked to."""


class CommandNotFoundError(SaltException):
    """There is no such program."""


class MinionError(SaltException):
    """Something is wrong with a minion."""


class PublishError(SaltException):
    """A job could not be published."""
