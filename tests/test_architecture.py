"""The map of the program, kept true: who may import whom, what stays out of the fast paths, and how long things get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from vmctl import errors

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vmctl"

# From the bottom up. A module imports only rooms further down, or its own room.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("vmctl.__init__", "vmctl.text", "vmctl.errors"),
    ("vmctl.model",),
    ("vmctl.local", "vmctl.ports.__init__", "vmctl.ports.turns", "vmctl.services.claims", "vmctl.services.walls"),
    ("vmctl.commands", "vmctl.formats"),
    ("vmctl.decide", "vmctl.ledger", "vmctl.lab"),
    ("vmctl.ports.store",),
    ("vmctl.decide.asked",),
    ("vmctl.hosts", "vmctl.store"),
    ("vmctl.storage",),
    ("vmctl.ledger.incarnations",),
    ("vmctl.guests",),
    ("vmctl.services",),
    ("vmctl.tasks",),
    ("vmctl.act",),
    ("vmctl.cluster.schedules",),
    ("vmctl.door",),
    ("vmctl.cluster", "vmctl.api"),
    ("vmctl.cli",),
)
# What some rooms keep to beyond that: room -> all it may import of vmctl
ONLY: dict[str, tuple[str, ...]] = {
    "vmctl.text": (),
    "vmctl.errors": (),
    "vmctl.model": ("vmctl.text", "vmctl.errors"),
    "vmctl.local": ("vmctl.model", "vmctl.errors"),
    "vmctl.ports.__init__": (),
    "vmctl.ports.turns": (),
    "vmctl.ports.store": ("vmctl.model", "vmctl.ledger"),
    "vmctl.services.claims": (),
    "vmctl.services.walls": ("vmctl.errors",),
    "vmctl.commands": ("vmctl.text", "vmctl.errors", "vmctl.model.rights"),
    "vmctl.decide": ("vmctl.model", "vmctl.formats.sizes"),
    "vmctl.decide.asked": (
        "vmctl.model",
        "vmctl.errors",
        "vmctl.decide",
        "vmctl.formats.sizes",
        "vmctl.commands",
    ),
    "vmctl.formats": ("vmctl.model", "vmctl.errors"),
    "vmctl.ledger": ("vmctl.model",),
    "vmctl.ledger.incarnations": (
        "vmctl.model",
        "vmctl.errors",
        "vmctl.ledger",
        "vmctl.hosts",
        "vmctl.ports",
        "vmctl.store",
    ),
    "vmctl.hosts": (
        "vmctl.text",
        "vmctl.model",
        "vmctl.errors",
        "vmctl.local.config",
        "vmctl.local.logcontext",
        "vmctl.formats.specjson",
        "vmctl.ledger",
        "vmctl.ports",
    ),
    "vmctl.store": (
        "vmctl.model",
        "vmctl.errors",
        "vmctl.local.paths",
        "vmctl.formats.specjson",
        "vmctl.ledger",
        "vmctl.ports",
        "vmctl.services.claims",
        "vmctl.services.walls",
    ),
    "vmctl.storage": ("vmctl.model", "vmctl.errors", "vmctl.hosts"),
    # The API translates: what it may know of the controller is the door.
    "vmctl.api": (
        "vmctl.__init__",
        "vmctl.text",
        "vmctl.errors",
        "vmctl.formats.plain",
        "vmctl.local.logcontext",
        "vmctl.model.rights",
        "vmctl.model.replicas",
        "vmctl.model.uploads",
        "vmctl.commands",
        "vmctl.door",
    ),
    "vmctl.lab": ("vmctl.errors", "vmctl.local.logs", "vmctl.local.paths"),
}
# The command line is a client: it knows errors, settings and the lab, the server only where it starts it, and what
# is decided only where there is a dump instead of a server.
CLI_MAY = (
    "vmctl.__init__",
    "vmctl.text",
    "vmctl.errors",
    "vmctl.local.paths",
    "vmctl.local.logs",
    "vmctl.commands",
    "vmctl.cli",
)
CLI_ALSO = {
    "vmctl.cli.client": ("vmctl.local.lock",),
    "vmctl.cli.lab": ("vmctl.lab",),
    "vmctl.cli.offline": (
        "vmctl.model",
        "vmctl.local.config",
        "vmctl.formats.dump",
        "vmctl.formats.plain",
        "vmctl.decide.asked",
    ),
    "vmctl.cli.serve": (
        "vmctl.api.server",
        "vmctl.api.tls",
        "vmctl.cluster.opening",
        "vmctl.local.config",
        "vmctl.local.lock",
        "vmctl.local.loglines",
        "vmctl.model.replicas",
    ),
    "vmctl.cli.dumps": ("vmctl.model", "vmctl.formats.dump", "vmctl.formats.ganeti"),
    "vmctl.cli.db": ("vmctl.local.config", "vmctl.local.lock", "vmctl.store"),
    "vmctl.cli.controllers": ("vmctl.model", "vmctl.local.config", "vmctl.local.lock", "vmctl.store"),
    "vmctl.cli.draining": ("vmctl.model", "vmctl.store"),
    "vmctl.cli.registry": ("vmctl.local.config", "vmctl.store"),
    "vmctl.cli.joining": (*("vmctl.model", "vmctl.local", "vmctl.store", "vmctl.hosts.ssh", "vmctl.ports"),),
}
# Not part of the room it lies in: `python -m vmctl.lab` is the command `vmctl lab`
MAINS = ("vmctl.lab.__main__",)
# An outside package -> the only rooms that import it
OWNERS: dict[str, tuple[str, ...]] = {
    "libvirt": ("vmctl.hosts.virt",),
    "argon2": ("vmctl.services.known",),
    "prometheus_client": ("vmctl.services.meters", "vmctl.door.metrics"),
    "cryptography": ("vmctl.api.tls",),
    "starlette": ("vmctl.api",),
    "asyncssh": ("vmctl.hosts.ssh",),
    "numba": ("vmctl.decide",),
    "numpy": ("vmctl.decide",),
    "sqlmodel": ("vmctl.store",),
    "sqlalchemy": ("vmctl.store",),
    "alembic": ("vmctl.store",),
    "psycopg": ("vmctl.store",),
    "fastapi": ("vmctl.api",),
    "orjson": ("vmctl.api.routes", "vmctl.store.jsons"),
    "pydantic": ("vmctl.api", "vmctl.guests", "vmctl.formats.dump"),
    "pydantic_core": ("vmctl.commands.fields",),  # inside a function: who has no pydantic needs none
    "annotated_types": ("vmctl.commands", "vmctl.cli.generic"),
    "typing_extensions": ("vmctl.guests.report",),
    "guest_agent": ("vmctl.guests",),
    "uvicorn": ("vmctl.api",),
    "h11": ("vmctl.api.connections",),
    "apscheduler": ("vmctl.cluster.schedules",),
    "emcache": ("vmctl.store.reportcache",),
    "click": ("vmctl.cli",),
    "rich": ("vmctl.cli",),
    "yaml": ("vmctl.cli",),
    "websockets": ("vmctl.cli.console", "vmctl.api.pass_on"),
    "httpx": ("vmctl.api.among", "vmctl.api.pass_on"),
}
IMPURE = {"asyncio", "time", "random", "secrets", "logging", "os", "pathlib", "socket", "subprocess", "threading"}
PURE = (
    "vmctl.text",
    "vmctl.errors",
    "vmctl.model",
    "vmctl.commands",
    "vmctl.decide",
    "vmctl.ledger",
    "vmctl.formats",
    "vmctl.hosts.devices",
    "vmctl.hosts.domainxml",
    "vmctl.hosts.processes",
)
NOT_PURE = (
    "vmctl.decide.search.compiled",  # it finds where its machine code is kept
    "vmctl.formats.imagefile",  # it reads the file
    "vmctl.ledger.incarnations",  # it feeds the pure ones, and writes what they find
)
# What the ports are there for
PORTED = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
    *("datetime.now", "datetime.utcnow", "uuid.uuid4", "uuid4", "asyncio.to_thread", "threading.Thread"),
    *("ThreadPoolExecutor", "secrets.token_hex", "secrets.token_bytes", "random.random", "random.uniform"),
    *("random.SystemRandom", "os.urandom"),
}
# The ports themselves; programs of their own; and what stands behind a port, with threads of the database and of
# libvirt and with SSH's marks: a simulated world has none of them
OUTSIDE_THE_PORTS = (
    "vmctl.ports",
    "vmctl.cli",
    "vmctl.lab",
    "vmctl.hosts.virt",
    "vmctl.hosts.ssh",
    "vmctl.hosts.collect",
    "vmctl.store.database",
    "vmctl.store.sqlite",
    "vmctl.store.postgres",
)
# Where a broad handler may end an error: the edges of a check, a task, the API and the program; a thread's, handed on.
EDGES = (
    "vmctl.services.walls",
    "vmctl.guests.followers",
    "vmctl.hosts.doctor",
    "vmctl.tasks.engine",
    "vmctl.api.edge",
    "vmctl.cli.main",
    "vmctl.cli.follow",
)
MOST_LINES_OF_A_FUNCTION = 50
MOST_CODE_LINES_OF_A_FILE = 350


@dataclass(frozen=True)
class Import:
    """One import statement: who imports what, and whether as soon as the importer is loaded."""

    importer: str
    imported: str
    line: int
    at_start: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by name; a package counts as `its.name.__init__`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name] = ast.parse(path.read_text(), str(path))
    return found


def own_name(dotted: str) -> str:
    """A dotted name as a module of ours: `vmctl.act.power.stop` -> `vmctl.act.power`."""
    while dotted not in modules() and f"{dotted}.__init__" not in modules():
        dotted, _, _ = dotted.rpartition(".")
        assert dotted, "an import of vmctl names no module of it"
    return dotted if dotted in modules() else f"{dotted}.__init__"


def _targets(node: ast.AST, importer: str) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{importer}:{node.lineno}: relative imports hide which room is entered"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    return [own_name(name) if name.split(".")[0] == "vmctl" else name for name in names]


def _walk(node: ast.AST, importer: str, at_start: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _targets(child, importer):
            yield Import(importer, name, child.lineno, at_start)  # type: ignore[attr-defined]
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, importer, at_start and not deferred)


@cache
def imports() -> tuple[Import, ...]:
    """Every import in the package, those inside functions too."""
    return tuple(found for name, tree in modules().items() for found in _walk(tree, name, True))


def within(module: str, room: str) -> bool:
    """Whether a module is that room or lies in it."""
    return module == room or module.startswith(f"{room}.")


def room(module: str) -> str:
    """The room that a module belongs to: the narrowest on the map."""
    return max((room for rooms in LAYERS for room in rooms if within(module, room)), key=len)


def layer(module: str) -> int:
    """How high a module lives."""
    return next(number for number, rooms in enumerate(LAYERS) if room(module) in rooms)


def rule(module: str) -> str:
    """The narrowest row of ONLY that says what a module may import; "" if none does."""
    return max((place for place in ONLY if within(module, place)), key=len, default="")


def ours() -> list[Import]:
    """Imports of one module of ours by another."""
    return [found for found in imports() if found.imported.startswith("vmctl.") and found.importer not in MAINS]


# -- the map


def test_every_module_has_a_place_on_the_map() -> None:
    for name in modules():
        places = [place for rooms in LAYERS for place in rooms if within(name, place)]
        assert places, f"{name} is in no room: add it to LAYERS"


def test_every_room_on_the_map_exists() -> None:
    for place in (place for rooms in LAYERS for place in rooms):
        assert any(within(name, place) for name in modules()), f"{place} is gone: take it off the map"


def test_imports_go_downward_only() -> None:
    up = [
        str(found)
        for found in ours()
        if room(found.importer) != room(found.imported) and layer(found.imported) >= layer(found.importer)
    ]
    assert up == []


@pytest.mark.parametrize("place", ONLY)
def test_a_room_keeps_to_what_it_may_import(place: str) -> None:
    may = (*ONLY[place], place)
    strays = [
        str(found)
        for found in ours()
        if rule(found.importer) == place and not any(within(found.imported, allowed) for allowed in may)
    ]
    assert strays == []


def test_the_command_line_is_a_client() -> None:
    strays = [
        str(found)
        for found in ours()
        if within(found.importer, "vmctl.cli")
        and not any(within(found.imported, place) for place in (*CLI_MAY, *CLI_ALSO.get(found.importer, ())))
    ]
    assert strays == []


def test_an_outside_package_is_imported_in_its_room_only() -> None:
    strays = [
        str(found)
        for found in imports()
        if (owners := OWNERS.get(found.imported.split(".")[0]))
        and not any(within(found.importer, owner) for owner in owners)
    ]
    assert strays == []


def test_every_outside_package_has_an_owner() -> None:
    tops = {found.imported.split(".")[0] for found in imports()}
    assert tops - set(sys.stdlib_module_names) - {"vmctl"} == set(OWNERS)


def test_the_lab_needs_the_standard_library_only() -> None:
    strays = [
        str(found)
        for found in imports()
        if within(found.importer, "vmctl.lab")
        and found.imported.split(".")[0] not in {*sys.stdlib_module_names, "vmctl"}
    ]
    assert strays == []


def test_pure_rooms_have_no_clock_no_chance_and_no_doors() -> None:
    strays = [
        str(found)
        for found in imports()
        if any(within(found.importer, place) for place in PURE) and found.imported.split(".")[0] in IMPURE
        if found.importer not in NOT_PURE
    ]
    assert strays == []


def test_time_chance_and_threads_come_through_the_ports() -> None:
    """What a simulation could not give would make each of its runs another one."""
    strays = [
        f"{name}:{node.lineno} {call}"
        for name, tree in modules().items()
        if not any(within(name, place) for place in OUTSIDE_THE_PORTS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (call := ast.unparse(node.func)) in PORTED
    ]
    assert strays == []


def test_decisions_are_not_asynchronous() -> None:
    waits = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        if within(name, "vmctl.decide")
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
    ]
    assert waits == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found in ours():
        if found.at_start and found.imported != found.importer:
            graph[found.importer].add(found.imported)
    while leaves := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}
    assert graph == {}, "these import each other while they load"


def test_the_tree_of_errors_is_closed() -> None:
    tree = set(errors.TREE)
    strays = [
        f"{name}:{node.lineno} {node.name}"
        for name, module in modules().items()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and name != "vmctl.errors"
        if any(getattr(base, "attr", getattr(base, "id", "")) in tree for base in node.bases)
    ]
    assert strays == [], "a client would not know them"


# -- sizes and handlers


def test_no_coroutine_waits_for_the_search() -> None:
    """It may have to be compiled first, which takes seconds in which a controller must beat: it has a thread."""
    names = {"place", "place_all", "capacity", "rebalance", "drain", "reboots", "explain"}
    found = []
    for name, tree in modules().items():
        asked = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vmctl.decide.")
            for alias in node.names
            if alias.name in names
        }
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)):
            calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
            found += [f"{name}:{call.lineno}" for call in calls if isinstance(call, ast.Name) and call.id in asked]
    assert found == []


def test_functions_are_short() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {lines} lines"
        for name, tree in modules().items()
        if not name.startswith("vmctl.store.migrations.versions.")  # a migration is a list, read from top to bottom
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno
        and (lines := node.end_lineno - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_files_are_short() -> None:
    long = []
    for path in PACKAGE.rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
        if len(lines) > MOST_CODE_LINES_OF_A_FILE:
            long.append(f"{path.relative_to(ROOT)} has {len(lines)} lines")
    assert long == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in names)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_errors_are_caught_broadly_at_the_edges_only() -> None:
    broad = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_again(node) and name not in EDGES
    ]
    assert broad == []


# -- what a command loads

HEAVY = (
    "fastapi",
    "pydantic",
    "sqlmodel",
    "sqlalchemy",
    "libvirt",
    "asyncssh",
    "httpx",
    "rich",
    "uvicorn",
    "asyncio",
    "numba",
    "numpy",
)
PROBE = f"""
import sys
sys.argv = ["vmctl", *sys.argv[1:]]
try:
    CODE
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *(name for name in {HEAVY!r} if name in sys.modules))
"""


def loaded(code: str, *arguments: str) -> list[str]:
    """The heavy packages that are loaded after `code` ran as the program."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.replace("CODE", code), *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded("import asyncio, rich") == ["rich", "asyncio"]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_program_starts_light(option: str) -> None:
    assert loaded("from vmctl.cli.main import main; main()", option) == []


def test_every_command_module_is_light() -> None:
    names = [name.removesuffix(".__init__") for name in modules() if within(name, "vmctl.cli")]
    assert "vmctl.cli.show" in names
    assert loaded(f"import {', '.join(names)}") == []
