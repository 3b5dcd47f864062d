"""What can go wrong with machines, by what one would do about it."""

from __future__ import annotations

from sylvite.errors import SylviteError


class CloudError(SylviteError):
    """Something about a provider or a machine.

    `done`: whether what was asked has happened all the same: False for certainly not, None where nobody knows.
    """

    code = "cloud_error"
    done: bool | None = False


class LibraryMissing(CloudError):
    code = "library_missing"

    def __init__(self) -> None:
        super().__init__("apache-libcloud is not installed, and machines need it: pip install 'sylvite[cloud]'")


class NoSuchMachine(CloudError):
    code = "no_such_machine"


class MachineExists(CloudError):
    code = "machine_exists"


class MachineUnfinished(CloudError):
    """A machine of that name was begun, and what became of it is not settled."""

    code = "machine_unfinished"


class LedgerFailed(CloudError):
    """The disk does not keep what has to be remembered."""

    code = "ledger_failed"


class MachineFailed(CloudError):
    """The provider made the machine, and it did not become one that runs."""

    code = "machine_failed"


class NotSupported(CloudError):
    """The driver cannot do it."""

    code = "not_supported"


class ProviderError(CloudError):
    """The provider's answer, or its driver, says no.  `status`: of HTTP, 0 where there is none."""

    code = "provider_error"

    def __init__(self, message: str, *, status: int = 0, done: bool | None = False) -> None:
        super().__init__(message)
        self.status, self.done = status, done


class ProviderRefused(ProviderError):
    """The provider does not take our credentials, or does not allow this."""

    code = "provider_refused"


class ProviderBusy(ProviderError):
    """It was not done; the same request may succeed later.  `retry_after_s`: as the provider says, or 0."""

    code = "provider_busy"

    def __init__(self, message: str, *, status: int, retry_after_s: float) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


class ProviderNotReachable(ProviderError):
    """There was no answer, and nothing was changed."""

    code = "provider_not_reachable"


class AnswerUnknown(ProviderError):
    """Something was asked for, and no answer came, or none that can be read: it may have happened."""

    code = "provider_answer_unknown"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message, status=status, done=None)


class MachineTimeout(CloudError, TimeoutError):
    """Something did not happen in time; it may still happen."""

    code = "machine_timeout"
    done = None


class DeployFailed(CloudError):
    code = "deploy_failed"


class Interrupted(CloudError):
    """The process that was at it has ended, or is being ended."""

    code = "machine_interrupted"
