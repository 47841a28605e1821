"""What agents say, small: messages as a real one frames them."""

from __future__ import annotations

from typing import Any

from guest_agent import wire

UTC_US = 1_800_000_000_000_000
HELLO: dict[str, Any] = {"agent": "1", "boot_id": "boot-1", "ticks_per_s": 100, "period_s": 5.0}


def process(pid: int, start: int = 100, **more: Any) -> dict[str, Any]:
    """One process, whole."""
    record = {"pid": pid, "ppid": 1, "start": start, "program": "httpd", "version": "", "command": "httpd", "user": "w"}
    return record | {"state": "S", "cpu": None, "rss_kib": 100, "threads": 1, "files": None, "ports": None} | more


def report(up_s: float = 60.0, **more: Any) -> dict[str, Any]:
    """The body of a full picture or a delta."""
    return {"at": {"utc_us": UTC_US, "up_s": up_s}} | more


class Agent:
    """Numbers its messages as an agent does."""

    def __init__(self) -> None:
        self.number = 0

    def say(self, kind: str, body: dict[str, Any]) -> bytes:
        """One message's bytes."""
        self.number += 1
        return b"".join(wire.encode(kind, self.number, body))

    def begin(self, *processes: dict[str, Any], **more: Any) -> bytes:
        """Hello and a full picture."""
        body = report(os={"boot_id": "boot-1"}, processes=list(processes), services=None, watches=[]) | more
        return self.say("hello", HELLO) + self.say("full", body)
