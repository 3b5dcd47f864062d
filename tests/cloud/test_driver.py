"""Drivers: every one that libcloud has can be named and checked, and errors of all kinds get names of ours."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
import requests
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError, LibcloudError, MalformedResponseError
from libcloud.compute.providers import DRIVERS

from sylvite.cloud.driver import check_arguments, driver_class, open_driver, parameters_of
from sylvite.cloud.errors import (
    AnswerUnknown,
    CloudError,
    NotSupported,
    ProviderBusy,
    ProviderError,
    ProviderNotReachable,
    ProviderRefused,
)
from sylvite.cloud.library import asking, library
from sylvite.cloud.names import PROVIDER_DEFAULTS, PROVIDER_KEYS, driver_name
from sylvite.cloud.secret import Redactor, Secret
from sylvite.cloud.settings import Provider
from sylvite.errors import InvalidSetting

NAMES = sorted(str(getattr(name, "value", name)) for name in DRIVERS)


def provider(driver: str, **arguments: Any) -> Provider:
    return Provider("lab", driver, arguments, {}, "lab.conf: lab")


@pytest.mark.parametrize("name", NAMES)
def test_every_driver_of_libcloud_can_be_named_and_its_arguments_checked(name: str) -> None:
    """Without any of them, only those that need another package say so."""
    try:
        kind = driver_class(provider(name))
    except NotSupported as error:
        assert "package" in str(error)  # noqa: PT017 - some are optional
        return
    known, is_open = parameters_of(kind, ("__init__", "__new__"))
    assert known or is_open
    with pytest.raises(InvalidSetting, match="is no argument of the driver"):
        check_arguments(kind, provider(name, what_is_this="x"))
    check_arguments(kind, provider(name, **dict.fromkeys(PROVIDER_DEFAULTS.get(name, {}), "x")))
    assert parameters_of(kind, ("create_node",))[0] or name in ("outscale_inc", "outscale_sas")


@pytest.mark.parametrize("name", sorted(PROVIDER_KEYS))
def test_salts_keys_become_arguments_that_the_driver_takes(name: str) -> None:
    kind = driver_class(provider(name))
    check_arguments(kind, provider(name, **dict.fromkeys(PROVIDER_KEYS[name].values(), "x")))


def test_salts_names_of_drivers_are_drivers() -> None:
    for name in ("nova", "azurearm", "aliyun", "vultrpy", "digital_ocean", "ec2"):
        assert driver_name(name) in NAMES


def test_a_driver_that_is_not_there_is_told_with_one_that_is() -> None:
    with pytest.raises(
        InvalidSetting, match=r"lab.driver: 'openstak' is no driver of libcloud; did you mean 'openstack'"
    ):
        driver_class(provider("openstak"))


def test_what_a_driver_lacks_is_named() -> None:
    with pytest.raises(InvalidSetting, match=r"lab.conf: lab: 'ovh' lacks something: .*ex_project_id"):
        open_driver(provider("ovh", key=Secret("x"), secret=Secret("y")), Redactor())


def test_no_value_of_an_argument_is_shown() -> None:
    with pytest.raises(InvalidSetting) as error:
        check_arguments(driver_class(provider("ec2")), provider("ec2", kye=Secret("abc"), key="abc"))
    assert "abc" not in str(error.value)
    assert "did you mean 'key'" in str(error.value)


def refused_connection() -> requests.ConnectionError:
    """As requests has it where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(requests.ConnectionError) as error:
        requests.get(f"http://127.0.0.1:{port}", timeout=5)
    return error.value


@pytest.mark.parametrize(
    ("error", "looking", "changing"),
    [
        (InvalidCredsError("no"), ProviderRefused, ProviderRefused),
        (BaseHTTPError(401, "no"), ProviderRefused, ProviderRefused),
        (BaseHTTPError(403, "no"), ProviderRefused, ProviderRefused),
        (BaseHTTPError(404, "no"), ProviderError, ProviderError),
        (BaseHTTPError(409, "no"), ProviderError, ProviderError),
        (BaseHTTPError(503, "no"), ProviderBusy, ProviderBusy),
        (RateLimitReachedError(headers={"retry-after": "3"}), ProviderBusy, ProviderBusy),
        (BaseHTTPError(500, "no"), ProviderError, AnswerUnknown),
        (MalformedResponseError("no json", body="<html>"), ProviderError, AnswerUnknown),
        (LibcloudError("no"), ProviderError, ProviderError),
        (requests.ReadTimeout("slow"), ProviderNotReachable, AnswerUnknown),
        (requests.ConnectTimeout("slow"), ProviderNotReachable, ProviderNotReachable),
        (requests.exceptions.SSLError("wrong certificate"), ProviderNotReachable, ProviderNotReachable),
        (ssl.SSLError("wrong certificate"), ProviderNotReachable, ProviderNotReachable),
        (requests.ConnectionError("Connection aborted."), ProviderNotReachable, AnswerUnknown),
        (refused_connection(), ProviderNotReachable, ProviderNotReachable),
        (ConnectionResetError("reset"), ProviderNotReachable, AnswerUnknown),
        (NotImplementedError(), NotSupported, NotSupported),
        (KeyError("swap"), ProviderError, AnswerUnknown),
        (TypeError("what"), ProviderError, AnswerUnknown),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_errors_of_drivers_get_names_of_ours(
    error: Exception, looking: type[CloudError], changing: type[CloudError]
) -> None:
    for changes, kind in ((False, looking), (True, changing)):
        with pytest.raises(CloudError) as found, asking("lab: do it", Redactor().text, changes=changes):
            raise error
        assert type(found.value) is kind, changes
        assert str(found.value).startswith("lab: do it: ")
        assert "\n" not in str(found.value)
        assert found.value.done is (None if kind is AnswerUnknown else False)
        assert found.value.__suppress_context__


def test_how_long_to_wait_is_known_and_has_an_end() -> None:
    for given, expected in (("3", 3.0), ("1e9", 3600.0), ("-1", 0.0)):
        with pytest.raises(ProviderBusy) as busy, asking("x", str):
            raise RateLimitReachedError(headers={"retry-after": given})
        assert busy.value.retry_after_s == expected


def test_an_endless_message_has_an_end_and_no_secret() -> None:
    with pytest.raises(ProviderError) as error, asking("x", Redactor([Secret("sesame-open")]).text):
        raise BaseHTTPError(400, "sesame-open " * 10_000)
    assert len(str(error.value)) < 500
    assert "sesame" not in str(error.value)


def test_errors_that_are_ours_and_ends_of_the_process_go_through() -> None:
    for error in (InvalidSetting("a", 1, "b"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as found, asking("x", str):
            raise error
        assert found.value is error


def test_variables_that_libcloud_obeys_are_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """One writes passwords into a file, the other repeats requests that may have been carried out."""
    import os

    for name in ("LIBCLOUD_DEBUG", "LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS"):
        monkeypatch.setenv(name, "1")
    library("compute.providers")
    assert not [name for name in os.environ if name.startswith("LIBCLOUD")]
