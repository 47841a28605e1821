"""What the host knows of a guest, and what is news to it. Pure; used by both ends.

The agent keeps what it has told (`Picture`) and sends the difference; the controller applies the difference to what it
has been told. README.md has every field with its unit and bounds.

Small changes are no news: SLACK says how far a value may be from what was last told. Since it is compared with what was
told and not with the reading before, nothing drifts away unnoticed.
"""

from collections.abc import Iterable

FOREVER = float("inf")
# field, wherever it occurs -> how much it may differ before it is news: absolutely, or as a share of what was told
SLACK = {
    "cpu": (0.01, 0.1),
    "steal": (0.01, 0.1),
    "rss_kib": (256, 0.02),
    "files": (8, 0.1),
    "read_bps": (4096, 0.2),
    "write_bps": (4096, 0.2),
    "load": (0.1, 0.1),
    "mem_available_mib": (4, 0.01),
    "swap_used_mib": (4, 0.01),
    "some10": (0.01, 0.2),
    "full10": (0.01, 0.2),
    "some_total_s": (FOREVER, 0),  # goes along when the shares change
    "full_total_s": (FOREVER, 0),
    "used_mib": (8, 0.01),
    "inodes_used": (1000, 0.05),
}
AT_EASE = "RSI"  # states between which an idle process goes back and forth


class Picture:
    """All that is known: `processes` by (pid, start), `services` by unit (None: unknown), `watches` by name."""

    __slots__ = ("os", "processes", "services", "watches")

    def __init__(self) -> None:
        self.os: dict[str, object] = {}
        self.processes: dict[tuple[int, int], dict[str, object]] = {}
        self.services: dict[str, dict[str, object]] | None = None
        self.watches: dict[str, dict[str, object]] = {}


def is_same(field: str, told: object, now: object) -> bool:
    """Whether a value is no news."""
    if told == now:
        return True
    if isinstance(told, dict) and isinstance(now, dict):
        return told.keys() == now.keys() and all(is_same(key, told[key], now[key]) for key in now)
    if isinstance(told, list) and isinstance(now, list):
        return len(told) == len(now) and all(is_same(field, one, other) for one, other in zip(told, now))
    if field == "state" and isinstance(told, str) and isinstance(now, str):
        return told in AT_EASE and now in AT_EASE
    if field in SLACK and isinstance(told, (int, float)) and isinstance(now, (int, float)):
        absolute, relative = SLACK[field]
        return abs(now - told) <= max(absolute, relative * abs(told))
    return False


def news(told: "dict[str, object]", now: "dict[str, object]") -> "dict[str, object]":
    """The fields of a record that are news."""
    return {field: value for field, value in now.items() if field not in told or not is_same(field, told[field], value)}


def full(now: Picture) -> "dict[str, object]":
    """The body of a full picture."""
    return {
        "os": now.os,
        "processes": list(now.processes.values()),
        "services": None if now.services is None else list(now.services.values()),
        "watches": list(now.watches.values()),
    }


def tell(told: Picture, now: Picture, touched: "set[tuple[int, int]] | None" = None) -> "dict[str, object]":
    """The body of a delta from `told` to `now`; `told` becomes what the host knows once it has it. `touched` are the
    processes that may have changed (all, if not given); those that are gone are found either way."""
    body: dict[str, object] = {}
    changes = news(told.os, now.os)
    if changes:
        body["os"] = changes
        told.os.update(changes)
    processes = _processes(told, now, now.processes.keys() if touched is None else touched)
    if processes:
        body["processes"] = processes
    gone = told.processes.keys() - now.processes.keys()
    if gone:
        body["gone"] = sorted(list(key) for key in gone)
        for key in gone:
            del told.processes[key]
    if now.services is not None:
        units, left = _records(told.services or {}, now.services)
        if units or told.services is None:
            body["services"] = units
        if left:
            body["services_gone"] = left
        told.services = dict(now.services)
    watches, _ = _records(told.watches, now.watches)
    told.watches = dict(now.watches)
    if watches:
        body["watches"] = watches
    return body


def _processes(told: Picture, now: Picture, touched: "Iterable[tuple[int, int]]") -> "list[dict[str, object]]":
    found = []
    for key in touched:
        record = now.processes.get(key)
        if record is None:
            continue
        before = told.processes.get(key)
        if before is None:
            told.processes[key] = dict(record)
            found.append(record)
            continue
        changes = news(before, record)
        if changes:
            before.update(changes)
            found.append(dict(changes, pid=key[0], start=key[1]))
    return found


def _records(
    told: "dict[str, dict[str, object]]", now: "dict[str, dict[str, object]]"
) -> "tuple[list[dict[str, object]], list[str]]":
    """Services and watches are few: a changed one is told whole."""
    changed = [record for name, record in now.items() if told.get(name) != record]
    return changed, sorted(told.keys() - now.keys())


def apply(known: Picture, kind: str, body: "dict[str, object]") -> None:
    """Bring `known` up to date with the body of a message of that kind ("full" or "delta"). The body must have been
    found to be as README.md says; a controller checks that first."""
    if kind == "full":
        known.os, known.processes, known.services, known.watches = {}, {}, None, {}
    known.os.update(body.get("os") or {})  # type: ignore[call-overload]
    for record in body.get("processes") or []:  # type: ignore[attr-defined]
        known.processes.setdefault((record["pid"], record["start"]), {}).update(record)
    for pid, start in body.get("gone") or []:  # type: ignore[attr-defined]
        known.processes.pop((pid, start), None)
    services = body.get("services")
    if services is not None or body.get("services_gone"):
        known.services = known.services or {}
        known.services.update({record["unit"]: record for record in services or []})  # type: ignore[attr-defined]
        for unit in body.get("services_gone") or []:  # type: ignore[attr-defined]
            known.services.pop(unit, None)
    known.watches.update({record["name"]: record for record in body.get("watches") or []})  # type: ignore[attr-defined]
