"""Look for as long as it runs; SIGTERM ends it. What must not be is printed, once each."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import replace
from types import FrameType

import psycopg

from tests.checker import machine
from tests.checker.rules import Look, broken

PERIOD_S = 0.2
QUERIES = {
    "tasks": "SELECT id, kind, subject, state FROM task",
    "vms": "SELECT uuid, name FROM vm",
    "lives": "SELECT life, ended_at IS NOT NULL FROM replica",
    "lead": "SELECT term, life FROM lead",
}


def main() -> int:
    """Exit status 1 where something was broken."""
    given = argparse.ArgumentParser()
    given.add_argument("--lab", required=True)
    given.add_argument("--dsn", required=True)
    asked = given.parse_args()
    enough = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        enough.set()

    signal.signal(signal.SIGTERM, end)
    before, told = Look(), set[str]()
    while not enough.wait(PERIOD_S):
        now = look(before, asked.lab, asked.dsn)
        for line in broken(before, now):
            if line not in told:
                told.add(line)
                print(line, flush=True)
        before = now
    return int(bool(told))


def look(before: Look, lab: str, dsn: str) -> Look:
    """How it is now."""
    now = replace(before, qemus=machine.qemus(lab))
    try:
        # One picture: a deletion's task and its VM belong together.
        options = "-c default_transaction_isolation=repeatable\\ read -c statement_timeout=5s"
        with psycopg.connect(dsn, connect_timeout=2, options=options) as opened:
            rows = {name: opened.execute(query).fetchall() for name, query in QUERIES.items()}
    except psycopg.Error:
        return now
    return replace(
        now,
        tasks={number: (kind, subject, state) for number, kind, subject, state in rows["tasks"]},
        vms=dict(rows["vms"]),
        lives=dict(rows["lives"]),
        lead=rows["lead"][0] if rows["lead"] else before.lead,
    )


if __name__ == "__main__":
    sys.exit(main())
