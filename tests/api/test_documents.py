"""The documents of the interface: whole, and true of what answers."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest
import requests
import schemathesis
import schemathesis.checks as all_checks
from hypothesis import HealthCheck, assume, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as openapi_checks

from sylvite.api import documents
from sylvite.api.entry import Row
from sylvite.api.verb_table import NATIVE
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, WITHIN_S, Api

EXAMPLES = 15
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]
ENDLESS = "/v1/events/stream"
"""What comes there is held against the other document."""


def name_of(row: Row) -> str:
    return f"{row.method} {row.path}"


def texts_of(value: Any, name: str) -> Iterator[str]:
    """Yield all texts that stand under a name, however deep."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            if key == name and isinstance(inner, str):
                yield inner
            yield from texts_of(inner, name)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from texts_of(inner, name)


@pytest.fixture(scope="module")
def openapi(api: Api) -> dict[str, Any]:
    answer = api.ask("GET", "/v1/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads(json.dumps(documents.openapi(NATIVE)))
    found: dict[str, Any] = answer.json
    return found


@pytest.fixture(scope="module")
def asyncapi(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.ask("GET", "/v1/asyncapi.json").json
    return found


@pytest.mark.parametrize("row", NATIVE, ids=name_of)
def test_what_a_handler_says_of_itself_is_its_row(row: Row) -> None:
    assert (row.answer.__doc__ or "").startswith(f"{row.method} {row.path}: ")
    assert documents.summary_of(row).endswith(".")


def test_every_entry_is_there_with_its_scope(openapi: dict[str, Any]) -> None:
    assert {(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods} == {
        (row.method, row.path) for row in NATIVE
    }
    ids = list(texts_of(openapi, "operationId"))
    assert len(set(ids)) == len(ids) == len(NATIVE)
    assert openapi["paths"]["/v1/jobs"]["post"]["security"] == [{"token": ["jobs:run"]}]
    assert openapi["paths"]["/healthz"]["get"]["security"] == []


def test_what_is_referred_to_is_there(openapi: dict[str, Any], asyncapi: dict[str, Any]) -> None:
    for document in (openapi, asyncapi):
        for reference in texts_of(document, "$ref"):
            found: Any = document
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]
            assert found


# -- True of what answers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unbounded(tmp_path_factory: pytest.TempPathFactory) -> Generator[Api]:
    limits = {"rest_cherrypy": {"requests_per_s": None, "events_per_s": None}}
    with BrokerProcess(tmp_path_factory.mktemp("asked") / "bus") as broker, Api(broker, options=limits) as process:
        yield process


@pytest.fixture(scope="module")
def chief(unbounded: Api) -> str:
    token = unbounded.token(*EVERYTHING)
    for number in range(3):
        unbounded.ask("POST", "/v1/events", token, json.dumps({"tag": f"seen/{number}", "data": {"n": number}}))
    return token


SCHEMA = schemathesis.openapi.from_dict(documents.openapi(NATIVE))
OF_OPENAPI, OF_ALL = cast("Any", openapi_checks), cast("Any", all_checks)
CHECKS = [
    OF_OPENAPI.status_code_conformance, OF_OPENAPI.content_type_conformance, OF_OPENAPI.response_schema_conformance,
    OF_OPENAPI.response_headers_conformance, OF_OPENAPI.negative_data_rejection,
]  # fmt: skip


@pytest.mark.parametrize("row", [row for row in NATIVE if row.path != ENDLESS], ids=name_of)
def test_answers_are_as_the_document_says(row: Row, unbounded: Api, chief: str) -> None:
    ask_and_check(SCHEMA, row, unbounded, chief)


@pytest.mark.parametrize("lie", ["status", "type", "property"])
def test_a_document_that_is_not_true_is_seen(unbounded: Api, chief: str, lie: str) -> None:
    (row,) = [row for row in NATIVE if (row.method, row.path) == ("GET", "/v1/whoami")]
    document = documents.openapi(NATIVE)
    answers = document["paths"][row.path]["get"]["responses"]
    if lie == "status":
        answers["201"] = answers.pop("200")
    elif lie == "type":
        answers["200"]["content"] = {"text/csv": {}}
    else:
        document["components"]["schemas"]["TokenShown"]["properties"]["owner"] = {"type": "integer"}
    with pytest.raises(FailureGroup):
        ask_and_check(schemathesis.openapi.from_dict(document), row, unbounded, chief)


def ask_and_check(schema: Any, row: Row, api: Api, token: str) -> None:
    """Let schemathesis make requests of a document, right ones and wrong ones, the same each time."""
    operation = schema[row.path][row.method]
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    made = strategies.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=SLOW)
    @given(case=made)
    def ask(case: Any) -> None:
        assume(_is_as_it_looks(row, case.query or {}))
        if row.path == "/v1/events/wait":
            case.query = {**(case.query or {}), "timeout": "0.02"}
        response = case.call(
            base_url=f"http://127.0.0.1:{api.port}", headers={"Authorization": f"Bearer {token}"}, timeout=WITHIN_S
        )
        # 501, 503 and 504 are answers too, where the document has them.
        no_failure = [] if response.status_code in (501, 503, 504) else [OF_ALL.not_a_server_error]
        case.validate_response(response, checks=[*CHECKS, *no_failure])

    ask()


def _is_as_it_looks(row: Row, query: dict[str, Any]) -> bool:
    """Say whether what is wrong in a query is still wrong in the address.

    There all is text, and one text is a list of one; and what is nothing is not there.
    """
    address = requests.Request("GET", "http://here", params=query).prepare().url or ""
    names = {name for name, _ in parse_qsl(urlsplit(address).query, keep_blank_values=True)}
    lists = [query[each.name] for each in row.said.parameters if each.many and each.name in query]
    are_lists = all(isinstance(found, list) and {*map(type, cast("list[Any]", found))} <= {str} for found in lists)
    return names == set(query) and are_lists and not (row.path == "/v1/events/wait" and "timeout" in query)


# -- Streams ---------------------------------------------------------------------------------------------------------


def validator(document: dict[str, Any], message: str) -> Any:
    payload = document["components"]["messages"][message]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": document["components"]})


def test_what_comes_on_a_stream_is_as_the_document_says(api: Api, token: str, asyncapi: dict[str, Any]) -> None:
    channel = asyncapi["channels"]["stream"]
    reader = api.ask("POST", "/v1/tokens", token, json.dumps({"scopes": ["events:read:doc/**"]})).json
    api.ask("POST", "/v1/events", token, '{"tag": "doc/a", "data": {"n": 1}}')
    seen: set[str] = set()
    with api.stream(f"{channel['address']}?tag=doc/*", reader["token"], Last_Event_ID="0123456789abcdef.7") as stream:
        for block in stream.blocks():
            assert block["event"] in channel["messages"]
            validator(asyncapi, block["event"]).validate(json.loads(block["data"]))
            seen.add(block["event"])
            if block["event"] == "event":
                api.ask("DELETE", f"/v1/tokens/{reader['id']}", token)
    assert seen == {"reset", "event", "bye"}


def test_the_parameters_of_streams_are_those_that_are_taken(api: Api, token: str, asyncapi: dict[str, Any]) -> None:
    query = asyncapi["channels"]["socket"]["bindings"]["ws"]["query"]["properties"]
    assert api.ask("HEAD", "/v1/events/stream?more=1", token).status == 400
    for name in query:
        if name != "ticket":
            answer = api.ask("HEAD", f"/v1/events/stream?{name}=prefix", token)
            assert answer.status == 200 or name in ("since", "after", "where"), name
