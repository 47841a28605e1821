"""What a guest may say, and within which bounds: the tables of guest_agent/README.md, checked before anything is used.

A guest is not trusted. A message that breaks a bound is refused whole; control characters in its texts are replaced,
because they end in terminals and pages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

MOST_PROCESSES = 4096
MOST_SERVICES = 512
STRICT = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class InvalidReport(ValueError):
    """A message that is not as the agent writes it: which field, and why."""


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


PRINTABLE = AfterValidator(_printable)
Text16 = Annotated[str, Field(max_length=16), PRINTABLE]
Text32 = Annotated[str, Field(max_length=32), PRINTABLE]
Text64 = Annotated[str, Field(max_length=64), PRINTABLE]
Text128 = Annotated[str, Field(max_length=128), PRINTABLE]
Text200 = Annotated[str, Field(max_length=200), PRINTABLE]
Text256 = Annotated[str, Field(max_length=256), PRINTABLE]
Number = Annotated[int, Field(ge=0, le=2**31)]
Large = Annotated[int, Field(ge=0, le=2**53)]
Cores = Annotated[float, Field(ge=0, le=8192)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=2**40)]
Port = Annotated[int, Field(ge=1, le=65535)]
Load = Annotated[float, Field(ge=0, le=1e6)]


class Hello(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    agent: Required[Text32]
    boot_id: Required[Annotated[Text64, Field(min_length=1)]]
    machine_id: Text64
    hostname: Text64
    system: Text128
    kernel: Text128
    ticks_per_s: Required[Annotated[int, Field(ge=1, le=10**6)]]
    transport: Text16
    period_s: Required[Annotated[float, Field(ge=0.1, le=3600)]]
    period_min_s: Annotated[float, Field(ge=0.1, le=3600)]
    period_max_s: Annotated[float, Field(ge=0.1, le=3600)]
    full_every_s: Annotated[float, Field(ge=1, le=86400)]
    processes_max: Annotated[int, Field(ge=1, le=MOST_PROCESSES)]
    privileged: bool


class At(TypedDict):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    utc_us: Large
    up_s: Seconds


class Stall(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    some10: Share | None
    full10: Share | None
    some_total_s: Seconds | None
    full_total_s: Seconds | None


class Stalls(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    cpu: Stall | None
    mem: Stall | None
    io: Stall | None


class FileSystem(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    mount: Required[Text256]
    type: Text32
    total_mib: Large
    used_mib: Large
    inodes_total: Large
    inodes_used: Large


class System(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    boot_id: Text64
    load: Annotated[list[Load], Field(min_length=3, max_length=3)]
    cpus: Annotated[int, Field(ge=1, le=8192)]
    cpu: Cores | None
    steal: Cores | None
    mem_total_mib: Number
    mem_available_mib: Number
    swap_total_mib: Number
    swap_used_mib: Number
    psi: Stalls | None
    filesystems: Annotated[list[FileSystem], Field(max_length=32)]
    failed_units: Annotated[list[Text128], Field(max_length=32)] | None
    oom_kills: Large | None
    reboot_needed: bool
    addresses: Annotated[list[Text64], Field(max_length=32)]


class Process(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    pid: Required[Number]
    start: Required[Large]
    ppid: Number
    program: Text64
    version: Text64
    command: Text256
    user: Text64
    state: Annotated[Text16, Field(max_length=1)]
    cpu: Cores | None
    rss_kib: Annotated[int, Field(ge=0, le=2**40)]
    threads: Annotated[int, Field(ge=0, le=2**22)]
    files: Number | None
    read_bps: Large | None
    write_bps: Large | None
    ports: Annotated[list[Port], Field(max_length=32)] | None


class Service(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    unit: Required[Text128]
    active: Text32
    sub: Text32
    pid: Number
    restarts: Number | None
    since_s: Seconds


class Watch(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    name: Required[Text64]
    kind: Text16
    unit: Text128
    ok: Required[bool | None]
    since_s: Seconds
    why: Text200
    restarts: Number
    pids: Annotated[list[Number], Field(max_length=16)]


class Report(TypedDict, total=False):
    """The body of "full" and of "delta"."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    at: Required[At]
    os: System
    processes: Annotated[list[Process], Field(max_length=MOST_PROCESSES)]
    gone: Annotated[list[Annotated[list[Large], Field(min_length=2, max_length=2)]], Field(max_length=MOST_PROCESSES)]
    hidden: Number
    services: Annotated[list[Service], Field(max_length=MOST_SERVICES)] | None
    services_gone: Annotated[list[Text128], Field(max_length=MOST_SERVICES)]
    watches: Annotated[list[Watch], Field(max_length=64)]


class Event(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]
    at: Required[At]
    what: Required[Literal["exited", "failed", "recovered", "restarted", "restart failed", "gave up"]]
    watch: Required[Text64]
    unit: Text128
    pid: Number | None
    start: Large | None
    why: Text200


_KINDS: dict[str, TypeAdapter[Any]] = {
    "hello": TypeAdapter(Hello),
    "full": TypeAdapter(Report),
    "delta": TypeAdapter(Report),
    "event": TypeAdapter(Event),
    "bye": TypeAdapter(dict[str, Any]),
}


def validate(kind: str, body: object) -> Any:
    """The body of a message, checked; what is not in the tables is left out. Raises `InvalidReport`."""
    adapter = _KINDS.get(kind)
    if adapter is None:
        raise InvalidReport(f"a message of type {_printable(kind[:16])!r}")
    try:
        return adapter.validate_python(body)
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(_printable(str(part))[:40] for part in first["loc"])
        raise InvalidReport(f"{kind}: {where}: {first['msg'][:100]}") from None
