"""Clients that keep their own log of what they were told, over the socket of one controller."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from vmctl.lab import controllers
from vmctl.lab.names import Machine

CLIENTS = 4
PERIOD_S = 0.04  # all of them ask for 100 commands a second
PATIENCE_S = 90.0


def reached(one: Machine) -> httpx.Client:
    """A client of that controller."""
    transport = httpx.HTTPTransport(uds=str(controllers.socket_of(one)))
    return httpx.Client(transport=transport, base_url="http://vmctl/api/v1", timeout=30.0)


def given(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    """A command, asked again with its key where no answer came or nobody knows; the answer that counts."""
    key, until = uuid.uuid4().hex, time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = client.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code < 500:
            return answer
        assert time.monotonic() < until, (path, body, answer and answer.text)
        time.sleep(0.1)


@dataclass
class Log:
    """What its clients were told was done: names of projects."""

    made: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # where a controller says that it does not know either


@contextmanager
def making_projects(machines: list[Machine], count: int = CLIENTS) -> Iterator[Log]:
    """So many clients that make one project after the other, on these controllers in turn."""
    log, enough = Log(), threading.Event()

    def work(number: int) -> None:
        with reached(machines[number % len(machines)]) as client:
            at = 0
            while not enough.wait(PERIOD_S):
                name, at = f"c{number}-{at}", at + 1
                answer = given(client, "/projects", {"name": name})
                if answer.is_success:
                    log.made.append(name)
                elif answer.json()["type"].endswith(":Uncertain"):
                    log.unknown.append(name)
                else:
                    log.refused.append(f"{name}: {answer.text}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield log
    finally:
        enough.set()
        for thread in threads:
            thread.join()
