"""S8: requests made from the API's own document, of its kind and of none: no answer is a 5xx, or of another kind.

A controller that is asked over TLS; what a task would do on hosts is left out, everything before it is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.api.live import Live, served
from vmctl.commands import users
from vmctl.door import handlers
from vmctl.model.records import HostRecord, Image, Storage, Task, TaskState, VMRecord
from vmctl.model.vms import Disk, Spec

REQUESTS = 20_000
PARTS = 4  # side by side
CHECKED: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
# What is there: half of the requests are about these, so that they get past the look-up.
NAMES = {"vm": "web1", "host": "kvm1", "number": 1, "name": "main", "user": "anna", "kind": "vm", "of": "user:anna"}
# No answer ends: they have tests of their own.
ENDLESS = ("/api/v1/feed", "/api/v1/tasks/{number}/follow", "/api/v1/jobs/{number}/output")
PATIENCE_S = 30.0


@pytest.fixture
def live(tmp_path: Path, empty_registry: Path) -> Iterator[Live]:
    with served(tmp_path, empty_registry, requests_per_s=1e6) as one:
        store = one.controller.services.store

        async def nothing(_job: Any) -> dict[str, Any]:
            return {}

        for kind in one.controller.tasks.handlers:
            one.controller.tasks.handlers[kind] = nothing
        for record in (
            HostRecord("kvm1", "127.0.0.1", "k", "f", 1.0, port=1),
            Storage("main", "/s", 1.0, hosts=["kvm1"]),
            Image("main", "main", "/s/main", 1.0, size_bytes=1 << 20),
        ):
            one.do(store.put(record))
        one.do(store.add_vm(VMRecord(Spec("uuid-web1", "web1", 1, 64, (Disk("main", "/s/web1"),)), 1.0)))
        one.do(store.add(Task(0, "stop", "web1", 1.0, state=TaskState.DONE, vm="uuid-web1")))
        one.ask(users.AddUser("fuzzer"))
        one.ask(users.GrantRole("fuzzer", "admin", "all"))
        yield one


def _operations(document: dict[str, Any]) -> Iterator[Any]:
    """What is in the document, as far as the library can read it; it says which is which."""
    yield from openapi.from_dict(document).get_all_operations()


class Tried:
    """A client that sends what is made from the document, and looks at each answer."""

    def __init__(self, live: Live) -> None:
        self.session = requests.Session()
        self.session.trust_env = False  # whatever CA this machine trusts besides
        self.session.verify = str(live.ca_file)
        self.session.headers["Authorization"] = f"Bearer {live.token('fuzzer')}"
        self.base, self.sent = f"https://127.0.0.1:{live.port}", 0
        document = self.session.get(f"{self.base}/openapi.json", timeout=PATIENCE_S).json()
        every: list[Any] = [found.ok() for found in _operations(document)]
        self.operations = [one for one in every if one.path not in ENDLESS]

    def send(self, case: schemathesis.Case[Any]) -> None:
        """One request. Raises what is wrong with its answer."""
        self.sent += 1
        verify = str(self.session.verify)
        response = case.call(base_url=self.base, session=self.session, timeout=PATIENCE_S, verify=verify)
        case.validate_response(response, checks=CHECKED)

    def all_of(self, operation: Any, each: int) -> None:
        """Requests of its kind and of none, half of them about what is there."""
        names = {name: NAMES[name] for name in NAMES if f"{{{name}}}" in operation.path}
        for mode in GenerationMode:
            for fixed in (names, {}):
                strategy = operation.as_strategy(generation_mode=mode, path_parameters=fixed or None)
                rules = settings(
                    max_examples=max(1, each),
                    deadline=None,
                    database=None,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                )
                rules(given(case=strategy)(self.send))()


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_s8_no_request_breaks_it(live: Live, part: int) -> None:
    tried = Tried(live)
    for operation in tried.operations[part::PARTS]:
        tried.all_of(operation, REQUESTS // (len(tried.operations) * 4))
    assert tried.sent >= REQUESTS // PARTS * 0.7, "enough was tried"
    assert tried.session.get(f"{tried.base}/readyz", timeout=PATIENCE_S).status_code == 200


@pytest.mark.long
def test_a_fault_that_was_planted_is_found(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_parts: Any, asked: Any, _who: Any) -> Any:
        return {"name": 7} if asked.about.startswith("0") else 1 / 0

    monkeypatch.setitem(handlers.AT_ONCE, users.AddProject, breaks)
    tried = Tried(live)
    [planted] = [one for one in tried.operations if (one.method, one.path) == ("post", "/api/v1/projects")]
    # its group of failures is no Exception
    with pytest.raises((Exception, FailureGroup), match=r"Server error|Undocumented|violates schema"):
        tried.all_of(planted, 50)
