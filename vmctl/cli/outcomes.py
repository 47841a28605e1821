"""What came of a task, in a few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Result = dict[str, Any]


def _moved(r: Result) -> str:
    how = "cold" if r.get("cold") else f"paused {r['downtime_ms']} ms" if r.get("downtime_ms") else "live"
    return f"{r.get('source', '?')} -> {r.get('host', '?')}, {how}"


def _checked(r: Result) -> str:
    hosts = r.get("hosts", {})
    bad = [name for name, row in hosts.items() if any(c["verdict"] == "FAIL" for c in row.get("checks", ()))]
    return f"not well: {', '.join(bad)}" if bad else f"{len(hosts)} hosts are well"


def _moves(r: Result) -> str:
    return f"{r.get('moved', 0)} moves done"


WORDS: dict[str, Callable[[Result], str]] = {
    "create": lambda r: f"runs on {r['host']}" if r.get("host") else "made, not started",
    "start": lambda r: f"runs on {r['host']}",
    "stop": lambda r: r.get("why") or f"stopped on {r['host']}",
    "reboot": lambda r: f"restarted on {r['host']}",
    "delete": lambda r: "deleted" + (f"; left: {', '.join(r['left'])}" if r.get("left") else ""),
    "migrate": _moved,
    "host add": lambda r: f"{sum(row.get('added', False) for row in r.get('hosts', {}).values())} added",
    "host check": _checked,
    "host remove": lambda r: "removed" + (f"; may still run: {', '.join(m)}" if (m := r.get("may_still_run")) else ""),
    "run": lambda r: str(r.get("outcome") or f"{r['runs']} runs, {r['bad']} failed"),
    "drain": _moves,
    "rebalance": _moves,
    "image add": lambda r: f"{r.get('format', '')} in {r.get('path', '')}",
    "image finish": lambda r: f"{r.get('format', '')} in {r.get('path', '')}",
    "image fetch": lambda r: f"{r.get('format', '')} in {r.get('path', '')}",
    "image drop": lambda _: "taken away",
    "image remove": lambda _: "deleted",
}


def outcome(task: dict[str, Any]) -> str:
    """Why it failed; what it does; or what came of it."""
    if task["error"]:
        return str(task["error"].get("message", ""))
    if task["state"] != "done":
        return str(task["progress"].get("text") or task["step"])
    try:
        return WORDS[task["kind"]](task["result"]) if task["kind"] in WORDS else "done"
    except (KeyError, TypeError, AttributeError):  # of an earlier version
        return "done"
