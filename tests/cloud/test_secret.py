"""A secret prints as ***, and is found in what others wrote."""

from __future__ import annotations

import json
import pickle

import msgspec
import pytest

from sylvite.cloud.secret import Redactor, Secret, is_secret_name
from sylvite.errors import InvalidData

TEXT = 'pa"ss\\word of mine'


def test_it_is_shown_as_stars_however_it_is_shown() -> None:
    secret = Secret(TEXT)
    assert [str(secret), repr(secret), f"{secret}", f"{secret!r:>3}", "%s" % secret] == ["***"] * 5  # noqa: UP031 - all the ways
    assert "word" not in repr({"key": [secret]})
    assert secret.reveal() == TEXT


def test_it_cannot_be_packed_or_joined() -> None:
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, json.dumps):
        with pytest.raises(TypeError):
            encode({"password": Secret(TEXT)})
    with pytest.raises(InvalidData):
        pickle.dumps(Secret(TEXT))
    with pytest.raises(TypeError):
        "password: " + Secret(TEXT)  # type: ignore[operator] - the point


@pytest.mark.parametrize(
    "name",
    [
        "password", "passwd", "secret", "secretkey", "key", "apikey", "api_key", "personal_access_token", "token", "creds",
        "ex_force_auth_token", "service_account_private_key", "private_key", "ex_admin_pass", "client_secret", "userdata",
        "ex_userdata", "user_data", "ex_customdata", "proxy_url", "priv_key", "minion.pem",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "user", "tenant", "key_file", "key_filename", "keyname", "ex_keyname", "ssh_key_name", "identity_url", "size", "id",
        "preseed_minion_keys", "ssh_public_key_file", "passive", "minion_conf", "userdata_file", "keys",
    ],
)  # fmt: skip
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("quoted", [TEXT, json.dumps({"password": TEXT}), f"({TEXT})"])
def test_it_is_taken_out_of_text_also_where_it_is_quoted(quoted: str) -> None:
    assert "word" not in Redactor([Secret(TEXT)]).text(quoted).replace("password", "")


def test_one_secret_within_another() -> None:
    redactor = Redactor([Secret("sesame"), Secret("sesame-open")])
    assert redactor.text("sesame-open, sesame!") == "***, ***!"


def test_a_short_one_is_not_looked_for() -> None:
    """It would take away half of each message; under its own name it is hidden all the same."""
    redactor = Redactor([Secret("a")])
    assert redactor.text("a machine") == "a machine"
    assert redactor.data({"password": "a"}) == {"password": "***"}


def test_one_line_of_a_key_is_taken_out_too() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\nshort\n-----END PRIVATE KEY-----\n"
    redactor = Redactor([Secret(key)])
    assert redactor.text("cannot read MC4CAQAwBQYDK2VwBCIEIA") == "cannot read ***"
    assert redactor.text("-----BEGIN PRIVATE KEY----- is short") == "-----BEGIN PRIVATE KEY----- is short"


def test_data_becomes_plain() -> None:
    class Thing:
        def __str__(self) -> str:
            return "a thing with sesame-open"

    data = {"a": [Thing(), 1, None, True, (2,)], 3: Secret("x"), "deep": {"password": "y", "empty": {"token": ""}}}
    found = Redactor([Secret("sesame-open")]).data(data)
    assert found == {
        "a": ["a thing with ***", 1, None, True, [2]], "3": "***", "deep": {"password": "***", "empty": {"token": ""}},
    }  # fmt: skip
    msgspec.msgpack.encode(found)
