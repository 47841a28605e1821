"""Texts of the service manager as services, and verdicts on what is watched. Pure.

A verdict is (ok, why): True, False, or None where it cannot be told yet.
"""

from collections.abc import Callable

UNIT_FIELDS = ("Id", "LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "StateChangeTimestampMonotonic")
SERVICES_MAX = 512
FAILED_MAX = 32
RUNS = ("active", "reloading")
COMES = ("activating",)


def units(show: str) -> "list[dict[str, str]]":
    """What `systemctl show --property=...` prints for several units: blocks of KEY=VALUE, an empty line between."""
    blocks = (block.splitlines() for block in show.strip().split("\n\n"))
    return [dict(line.split("=", 1) for line in block if "=" in line) for block in blocks if block]


def services(found: "list[dict[str, str]]") -> "dict[str, dict[str, object]]":
    """The services among the units that are loaded, by name."""
    records = [service(unit) for unit in found if is_loaded_service(unit)]
    return {str(record["unit"]): record for record in records[:SERVICES_MAX]}


def is_loaded_service(unit: "dict[str, str]") -> bool:
    """A name that is only mentioned by others is not loaded."""
    return unit.get("Id", "").endswith(".service") and unit.get("LoadState") == "loaded"


def service(unit: "dict[str, str]") -> "dict[str, object]":
    """One service as it is told. systemd counts restarts since version 235."""
    restarts = unit.get("NRestarts", "")
    return {
        "unit": unit["Id"][:128],
        "active": unit.get("ActiveState", "")[:32],
        "sub": unit.get("SubState", "")[:32],
        "pid": _number(unit.get("MainPID", "")),
        "restarts": _number(restarts) if restarts.isdigit() else None,
        "since_s": round(_number(unit.get("StateChangeTimestampMonotonic", "")) / 1e6, 3),
    }


def failed(found: "list[dict[str, str]]") -> "list[str]":
    """Units of any kind that failed."""
    return [unit["Id"][:128] for unit in found if unit.get("ActiveState") == "failed"][:FAILED_MAX]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def main_pids(known: "dict[str, dict[str, object]] | None", names: "tuple[str, ...]") -> "list[int]":
    """Main processes of these services."""
    records = [known[name] for name in names if name in known] if known else []
    return [record["pid"] for record in records if record["pid"]]  # type: ignore[misc]


def program_pids(
    processes: "dict[tuple[int, int], dict[str, object]]", is_meant: "Callable[[str], bool]"
) -> "list[int]":
    """The processes of a program, the oldest first. A dead one that nobody has buried does not count, and neither do
    the children that a daemon makes of itself for each connection."""
    records = sorted(processes.items(), key=lambda item: item[0][1])
    found = {key[0]: one for key, one in records if one["state"] != "Z" and is_meant(str(one["program"]))}
    return [pid for pid, record in found.items() if record["ppid"] not in found]


def of_unit(known: "dict[str, dict[str, object]] | None", names: "tuple[str, ...]") -> "tuple[bool | None, str]":
    """A service by the names it may have; one that runs is enough."""
    if known is None:
        return None, "systemd has not answered"
    there = [known[name] for name in names if name in known]
    for record in there:
        if record["active"] in RUNS:
            return True, f"{record['unit']} is {record['active']} ({record['sub']})"
    for record in there:
        if record["active"] in COMES:
            return None, f"{record['unit']} is {record['active']} ({record['sub']})"
    if there:
        return False, f"{there[0]['unit']} is {there[0]['active']} ({there[0]['sub']})"
    return False, f"{' or '.join(names)} is not loaded: stopped, or not there"


def of_program(name: str, pids: "list[int]") -> "tuple[bool | None, str]":
    """A program of which at least one process runs."""
    if not pids:
        return False, f"no process of {name}"
    return True, f"{len(pids)} process{'es' if len(pids) > 1 else ''} of {name}"


def of_heartbeat(path: str, age_s: "float | None", most_s: float) -> "tuple[bool | None, str]":
    """A file that must be written again and again."""
    if age_s is None:
        return False, f"{path} is not there"
    if age_s > most_s:
        return False, f"{path} was written {age_s:.0f} s ago, more than {most_s:g} s"
    return True, f"{path} is written at least every {most_s:g} s"
