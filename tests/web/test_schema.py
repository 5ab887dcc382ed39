"""Whatever fits the description of the interface, or does not, is answered without a failure of the server."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from striate.web.app import application

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

EXAMPLES = 12  # of each question
KNOWN = {"layer": "4", "target": "class:bee"}  # a name made up only ever gives one kind of answer


def test_no_question_makes_the_server_fail(house, picture):
    app = application(house)
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    asked = 0
    # a stream of events ends with its job alone
    for found in schema.exclude(path_regex="events$").get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case):
            nonlocal asked
            asked += 1
            if asked % 3 and case.query:
                real = {**KNOWN, "picture": picture}
                case.query.update({name: real[name] for name in case.query if name in real})
            response = case.call(base_url="http://127.0.0.1:8765")
            assert response.status_code < 500, f"{case.as_curl_command()}: {response.text}"
            if response.status_code >= 400:
                assert json.loads(response.text)["error"]

        ask()
    assert asked > 15 * EXAMPLES
