"""Faults put into the controller, one at a time: does the simulated world find them?

python -m tests.mutants [--seeds 200] [NAME...]

A mutant is named by the symbol that it replaces, so that it stays where it is when the code around it changes. It is
killed by the first story, or seed, that ends in an untruth. One that survives shows what nobody looks at.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.sim import sweep
from tests.sim.explore import compose, untrue
from vmctl.act.whereabouts import Observation
from vmctl.decide.outcome import DomainPresence, Resolution
from vmctl.errors import Refused
from vmctl.model.vms import PowerState


class Mutant(NamedTuple):
    """What it does wrong, which symbol it replaces, and by what: a function of what was there."""

    name: str
    symbol: str  # "module:name" or "module:Class.name"
    made: Callable[[Any], Any]


def later_nothing(_was: Any) -> Any:
    """It does nothing, and is awaited for that."""

    async def nothing_(*_args: Any, **_more: Any) -> None:
        return None

    return nothing_


def answers(value: Any) -> Callable[[Any], Any]:
    """It always answers that."""
    return lambda _was: lambda *_args, **_more: value


def later_answers(value: Any) -> Callable[[Any], Any]:
    """It always answers that, and is awaited for it."""

    def made(_was: Any) -> Any:
        async def answer(*_args: Any, **_more: Any) -> Any:
            return value

        return answer

    return made


def vm_as_it_is(_was: Any) -> Any:
    """It believes what the registry says."""

    async def believed(_services: Any, vm: Any, *_args: Any, **_more: Any) -> Any:
        return vm

    return believed


def outcome(*changes: tuple[DomainPresence, DomainPresence, Resolution]) -> Callable[[Any], Any]:
    """The table of outcomes with other lines."""
    return lambda was: {**was, **{(here, there): then for here, there, then in changes}}


def without_gone(was: Any) -> Any:
    """A lease forgets no host."""

    def leased(*args: Any, gone: Any, **more: Any) -> Any:
        return was(*args, gone=(), **more)

    return leased


def without_also(was: Any) -> Any:
    """A lease does not name the other host of a migration."""

    def leased(*args: Any, also: Any, **more: Any) -> Any:
        return was(*args, also=(), **more)

    return leased


def always_stopped(was: Any) -> Any:
    """Who may still run somewhere is called stopped."""

    def leased(vm: Any, host: str, power: PowerState, *args: Any, **more: Any) -> Any:
        values = was(vm, host, power, *args, **more)
        if power is PowerState.STOPPED:
            values |= {"power": power, "may_run_on": {}}
        return values

    return leased


def not_held(was: Any) -> Any:
    """Two tasks may hold one VM."""

    async def claim(self: Any, vm: Any, task: int) -> Any:
        self._change(type(vm), vm.uuid, {"task": task})
        return dataclasses.replace(vm, task=task)

    return claim


def any_epoch(was: Any) -> Any:
    """A lease is taken whoever took one since."""

    async def lease(self: Any, vm: Any, *args: Any, **more: Any) -> Any:
        return await was(self, await self.vm(vm.uuid), *args, **more)

    return lease


def never_journalled(was: Any) -> Any:
    """What a successor must know is not written."""

    async def note(self: Any, step: str, **facts: Any) -> None:
        self.step = step
        self.keep(**facts)

    return note


def timeout_is_failure(was: Any) -> Any:
    """No answer is taken for a no."""

    async def look_after(_services: Any, _vm: Any, host: str, *, wait_for_it: bool) -> Observation:
        return Observation(host, DomainPresence.GONE)

    return look_after


def all_resume(was: Any) -> Any:
    """Every kind of task is begun again by a successor."""

    def tasks() -> Any:
        return {kind: dataclasses.replace(row, resumes=True) for kind, row in was().items()}

    return tasks


def freed_nothing(was: Any) -> Any:
    """A task that ends leaves what it held."""
    return {}


def silent_is_gone(was: Any) -> Any:
    """A host that says nothing shows nothing."""

    async def ask(services: Any, host: str, uuid: str) -> Observation:
        answer = await was(services, host, uuid)
        silent = answer.sight is DomainPresence.SILENT
        return Observation(host, DomainPresence.GONE) if silent else answer

    return ask


def says_it_runs(_was: Any) -> Any:
    """A start is written down, and not done (CloudStack 12922: work that is marked done, and no VM was started)."""

    async def launch(services: Any, _job: Any, vm: Any, host: str, *_args: Any, **_more: Any) -> Any:
        return await services.store.lease(vm, host, PowerState.RUNNING, wanted="running")

    return launch


def nobody_holds(was: Any) -> Any:
    """What a task is at is followed all the same (Ganeti 790, 791: a watcher acts in the middle of a failover)."""

    async def reconcile(services: Any, link: Any) -> None:
        class Unheld:
            def __getattr__(self, name: str) -> Any:
                return getattr(services.store, name)

            async def all(self, kind: Any) -> Any:
                found = await services.store.all(kind)
                held = [one for one in found if getattr(one, "task", None) is not None and hasattr(one, "spec")]
                return [dataclasses.replace(one, task=None) if one in held else one for one in found]

        seen = copy.copy(services)
        seen.store = Unheld()
        await was(seen, link)

    return reconcile


def undone_whatever(was: Any) -> Any:
    """Also a create of which it is not known whether the VM runs is undone, and its disk deleted."""

    async def undo(services: Any, job: Any, vm: Any, *more: Any) -> None:
        await was(services, job, dataclasses.replace(vm, power=PowerState.STOPPED), *more)

    return undo


def uncertain_is_refused(_was: Any) -> Any:
    """What is not known is called a failure."""

    async def not_known(_services: Any, vm: Any, host: str, _answer: Any) -> None:
        raise Refused(f"{vm.name} was not started on {host}")

    return not_known


R, P, G, S = DomainPresence.RUNNING, DomainPresence.PAUSED, DomainPresence.GONE, DomainPresence.SILENT
MUTANTS: tuple[Mutant, ...] = (
    # -- starting
    Mutant("a start asks nobody where it runs", "vmctl.act.power:prove_off", vm_as_it_is),
    Mutant("a silent host is taken for one without it", "vmctl.act.whereabouts:ask_for_sure", silent_is_gone),
    Mutant("a start without an answer is believed failed", "vmctl.act.power:look_after", timeout_is_failure),
    Mutant("nothing is journalled", "vmctl.tasks.job:Job.note", never_journalled),
    Mutant("a mount that is missing is not noticed", "vmctl.act.mounted:refuse_unmounted", later_nothing),
    Mutant("a key that was taken is not made again", "vmctl.act.disks:look_for_key", later_nothing),
    Mutant("an unknown VM counts as seen off", "vmctl.act.power:seen_off", vm_as_it_is),
    # -- stopping and deleting
    Mutant("a delete asks nobody where it runs", "vmctl.act.delete:prove_off", vm_as_it_is),
    Mutant("a delete leaves the disks", "vmctl.act.disks:remove", later_answers([])),
    Mutant("an end is believed before it is seen", "vmctl.act.stop:halt", later_nothing),
    Mutant("a cold move believes an end that it has not seen", "vmctl.act.coldmove:halt", later_nothing),
    Mutant("a start is only written down", "vmctl.act.power:launch", says_it_runs),
    Mutant("what is not known is called a failure", "vmctl.act.power:_not_known", uncertain_is_refused),
    # -- creating
    Mutant("a create that may run is undone", "vmctl.act.create:_undo", undone_whatever),
    Mutant("a create that failed is not undone", "vmctl.act.create:_undo", later_nothing),
    Mutant("a create that failed leaves its files", "vmctl.act.made:Made.undo", later_nothing),
    # -- moving
    Mutant("libvirt is believed that it is on the target", "vmctl.act.conclude:resolve", answers(Resolution.ON_TARGET)),
    Mutant("libvirt is believed that it stayed", "vmctl.act.conclude:resolve", answers(Resolution.ON_SOURCE)),
    Mutant("a silent target is no target", "vmctl.decide.outcome:OUTCOMES", outcome((P, S, Resolution.RESUME_SOURCE))),
    Mutant("a copy that runs is dropped", "vmctl.decide.outcome:OUTCOMES", outcome((P, R, Resolution.DROP_TARGET))),
    Mutant("nothing half made is dropped", "vmctl.act.conclude:_do", later_answers(False)),
    Mutant("the rules are not asked again before a move", "vmctl.act.migrate:check_again", later_nothing),
    Mutant("a successor lets a migration be", "vmctl.act.migrate:_take_over", later_answers({})),
    Mutant("the socket of a dead migration stays", "vmctl.act.migrate:_remove_socket", later_nothing),
    Mutant("a socket stays", "vmctl.act.migrate:_withdrawn", later_answers(True)),
    Mutant("no slot is taken", "vmctl.store.memory:MemoryStore.take_slot", later_answers(None)),
    Mutant("every slot is free", "vmctl.store.rules:must_wait", answers(None)),
    # -- the registry
    Mutant("two tasks hold one VM", "vmctl.store.memory:MemoryStore.claim", not_held),
    Mutant("the epoch counts nothing", "vmctl.store.memory:MemoryStore._lease", any_epoch),
    Mutant("an end frees nothing", "vmctl.store.rules:FREED", freed_nothing),
    Mutant("a lease forgets no host", "vmctl.store.rules:leased", without_gone),
    Mutant("a migration's lease names one host", "vmctl.store.rules:leased", without_also),
    Mutant("who may run is called stopped", "vmctl.store.rules:leased", always_stopped),
    # -- following what hosts show
    Mutant("a VM that a task is at is followed", "vmctl.cluster.controller:reconcile", nobody_holds),
    Mutant("nothing is followed", "vmctl.cluster.controller:reconcile", later_nothing),
    Mutant("an end is not followed", "vmctl.act.reconcile:_gone", later_nothing),
    Mutant("what is absent is ended without another look", "vmctl.act.reconcile:_surely_gone", later_answers(True)),
    Mutant("what shows up elsewhere is left", "vmctl.act.reconcile:_elsewhere", later_nothing),
    Mutant("a change of state is not followed", "vmctl.act.reconcile:_changed", later_nothing),
    Mutant("who was left paused stays paused", "vmctl.act.reconcile:_let_go_on", later_answers(False)),
    Mutant("strangers are not taken up", "vmctl.act.reconcile:_adopt", later_nothing),
    # -- tasks and controllers
    Mutant("open tasks are forgotten", "vmctl.cluster.controller:Controller._resume_tasks", later_nothing),
    Mutant("every kind of task is resumed", "vmctl.commands.catalogue:tasks", all_resume),
    Mutant("a task that broke has no end", "vmctl.tasks.engine:Tasks._end", later_nothing),
    Mutant("nobody looks after leases", "vmctl.act.leases:Guard.look", later_nothing),
    Mutant("a reboot is nobody's business", "vmctl.act.restart:Restarts.look", later_nothing),
    Mutant("nobody notes a host's boot", "vmctl.cluster.controller:keep_boot", later_nothing),
)


def find(symbol: str) -> tuple[Any, str]:
    """Where a symbol stands, and its name there. Raises AttributeError for one that is gone."""
    module, _, path = symbol.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    getattr(holder, name)
    return holder, name


@contextmanager
def put_in(mutant: Mutant) -> Iterator[None]:
    """The fault, for a while. A table that others have imported by its name is changed in place."""
    holder, name = find(mutant.symbol)
    was = getattr(holder, name)
    made = mutant.made(was)
    if isinstance(was, dict):
        kept = dict(was)
        was.clear()
        was.update(made)
        try:
            yield
        finally:
            was.clear()
            was.update(kept)
        return
    setattr(holder, name, made)
    try:
        yield
    finally:
        setattr(holder, name, was)


def killed_by(mutant: Mutant, seeds: int) -> tuple[str, str] | None:
    """(the first seed or place of a sweep that ends in an untruth with it, which untruth); None: it survives."""
    with put_in(mutant):
        for seed in range(seeds):
            if found := untrue(compose(seed), seed):
                return f"seed {seed}", found[0]
        for name, stories in sweep.SWEEPS.items():
            for number, lines in enumerate(stories()):
                if found := untrue(lines, 0):
                    return f"{name} {number}", found[0]
    return None


def _killed_by(number: int, seeds: int) -> tuple[str, str] | None:
    return killed_by(MUTANTS[number], seeds)


def main() -> None:
    """All of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="that each mutant must survive to live")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("names", nargs="*", help="parts of their names")
    given = parser.parse_args()
    chosen = [one for one in MUTANTS if not given.names or any(name in one.name for name in given.names)]
    alive = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        ends = pool.map(_killed_by, [MUTANTS.index(one) for one in chosen], [given.seeds] * len(chosen))
        for mutant, found in zip(chosen, ends, strict=True):
            alive += found is None
            print(f"{'SURVIVES ' if found is None else f'{found[0]:9}'}  {mutant.name}", end="")
            print("" if found is None else f": {found[1][:110]}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    sys.exit(alive > 0)


if __name__ == "__main__":
    main()
