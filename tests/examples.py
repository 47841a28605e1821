"""The examples of the API's document, as a real controller answers: python -m tests.examples [--write].

They are kept in vmctl/api/examples.json, and tests/api/test_examples.py holds them to the document.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import httpx

from tests.cli.pool import STARTED, served
from vmctl.commands import catalogue
from vmctl.commands.fields import Body, hints, mark
from vmctl.commands.rows import Asked, Command
from vmctl.store import sqlite

KEPT = Path(__file__).parent.parent / "vmctl" / "api" / "examples.json"
MOST_ITEMS = 1  # of a list
SECRETS = ("token",)
# Argument -> what is given; by operation where that is another one
VALUES: dict[str, Any] = {
    "vm": "web1", "host": "kvm1", "name": "main", "number": 1, "image": "tiny", "mem_mib": 512, "user": "anna",
    "permission": "look", "kind": "vm", "upload": "a1b2c3d4e5f60718", "of": "user:anna", "id": "3f8a91c27d04",
    "gpid": "10.0.0.7:80",
}  # fmt: skip
GIVEN: dict[str, dict[str, Any]] = {
    "Create": {"name": "web2", "cpus": 2, "apart": "web"},
    "WhereToCreate": {"name": "web3"},
    "Delete": {"vm": "web1"},
    "SetAutostart": {"on": False},
    "SetHeal": {"level": "reboot"},
    "AddHosts": {"hosts": ["kvm3=127.0.0.1:1"]},
    "CheckHosts": {"hosts": ["kvm1"]},
    "LabelHost": {"labels": {"rack": "a"}},
    "RemoveHost": {"host": "kvm2"},
    "AddStorage": {"name": "more", "path": "/more"},
    "RemoveStorage": {"name": "main"},
    "AddImage": {"name": "debian", "file": "/srv/images/debian.qcow2"},
    "RemoveImage": {"name": "tiny"},
    "SetSchedule": {"name": "rebalance", "cron": "0 3 * * *", "mode": "advise"},
    "RemoveSchedule": {"name": "rebalance"},
    "History": {"kind": "host", "name": "kvm1"},
    "Who": {"endpoint": "10.0.0.7:80"},
    "ShowProcess": {"name": f"10.0.0.7:80:{STARTED}:812"},
    "AddUser": {"name": "ben", "password": "correct horse"},
    "SetPassword": {"name": "ben", "password": "battery staple"},
    "DisableUser": {"name": "ben"},
    "RemoveUser": {"name": "ben"},
    "AddGroup": {"name": "ops", "members": ["anna"]},
    "SetMembers": {"name": "ops", "add": ["anna"]},
    "RemoveGroup": {"name": "ops"},
    "AddProject": {"name": "blue", "about": "the shop"},
    "RemoveProject": {"name": "blue"},
    "MoveToProject": {"project": "default"},
    "AddRole": {"name": "restarter", "permissions": ["look", "vm.power"]},
    "RemoveRole": {"name": "restarter"},
    "GrantRole": {"who": "anna", "role": "viewer", "on": "all"},
    "RevokeRole": {"who": "anna", "role": "viewer", "on": "all"},
    "CreateToken": {"user": "anna", "about": "laptop"},
    "SetLimits": {"vms": 10, "mem_mib": 65536},
    "BeginUpload": {"name": "debian", "size_bytes": 1 << 30},
    "WritePiece": {"part": "file", "offset": 0},
    "FetchImage": {"name": "debian", "url": "https://images.example.org/debian.qcow2"},
    "CancelTask": {"number": 1},
    "MapUser": {"name": "anna", "logins": ["anna@kvm*"]},
    "RunJob": {"words": ["uptime"], "hosts": ["kvm1"]},
    "WhereToRun": {"words": ["uptime"], "mem_mib": 512},
    "ShowJob": {"number": 3},
    "WhyRun": {"number": 3},
    "FollowOutput": {"number": 3, "wait": False},
    "FetchFile": {"number": 3, "run": 1, "path": "result.txt"},
    "CollectJob": {"number": 3},
}


def request(row: Asked) -> dict[str, Any]:
    """The arguments of an operation: what it must be given, and what shows how it is used."""
    mine = GIVEN.get(row.arguments.__name__, {})
    found = {}
    for one in fields(row.arguments):
        if mark(row.arguments, one.name, Body) is not None:
            continue
        needed = one.default is MISSING and one.default_factory is MISSING
        if one.name in mine or needed:
            found[one.name] = mine[one.name] if one.name in mine else VALUES[one.name]
    assert set(found) <= set(hints(row.arguments))
    return found


def answered(http: httpx.Client, row: Asked, given: dict[str, Any]) -> Any:
    """What the controller answers; None where that is an error, or goes on."""
    path = row.path
    rest = dict(given)
    for name in given:
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", str(rest.pop(name)))
    more: dict[str, Any] = {"json": rest} if row.method in ("POST", "PUT") else {"params": rest}
    answer = http.request(row.method, f"/api/v1/{path}", **more)
    if answer.status_code >= 400 or "application/json" not in answer.headers["content-type"]:
        print(f"{row.arguments.__name__}: {answer.status_code} {answer.text[:150]}", file=sys.stderr)
        return None
    return _short(answer.json())


def _short(value: Any) -> Any:
    if isinstance(value, list):
        many = bool(value) and isinstance(value[0], dict)
        return [_short(item) for item in (value[:MOST_ITEMS] if many else value)]
    if isinstance(value, dict):
        return {key: "vmctl_..." if key in SECRETS and item else _short(item) for key, item in value.items()}
    return value


def recorded() -> dict[str, Any]:
    """Every operation once, those that take something away last."""
    rows = [row for row in catalogue.ROWS if row.way]
    rows.sort(key=lambda row: row.method == "DELETE" or row.arguments.__name__.startswith("Revoke"))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["XDG_DATA_HOME"] = place
        (folder / "from").mkdir()
        sqlite.upgrade(folder / "from" / "registry.db")
        with served(folder, folder / "from" / "registry.db"):
            transport = httpx.HTTPTransport(uds=str(folder / "sock"))
            with httpx.Client(transport=transport, base_url="http://vmctl", timeout=60) as http:
                for row in rows:
                    given = request(row)
                    answer = None if _acts_elsewhere(row) else answered(http, row, given)
                    found[row.arguments.__name__] = {"given": given} | (
                        {"answer": answer} if answer is not None else {}
                    )
    return {name: found[name] for name in sorted(found)}


def _acts_elsewhere(row: Asked) -> bool:
    return isinstance(row, Command) and (row.on_hosts or row.quiet)


if __name__ == "__main__":
    text = json.dumps(recorded(), indent=1, sort_keys=True)
    if "--write" in sys.argv:
        KEPT.write_text(text + "\n")
    else:
        print(text)
