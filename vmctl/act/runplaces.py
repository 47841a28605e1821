"""Where the runs of a job go: to the hosts that are meant, or where placement says; each is promised its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from vmctl.act import record
from vmctl.act.power import no_host
from vmctl.commands.jobs import RunJob
from vmctl.decide.place import place
from vmctl.errors import NoHostFits, NotAllowed, NotFound
from vmctl.model.access import Use, login_on
from vmctl.model.cluster import Cluster
from vmctl.model.jobs import Promise, promised_to_each
from vmctl.model.plans import NoPlace, Placement
from vmctl.model.records import HostRecord
from vmctl.model.vms import VM, Spec
from vmctl.ports.store import Store
from vmctl.services import Services
from vmctl.services.observe import measured
from vmctl.tasks import AnyJob

LOOK_AGAIN_S = 1.0  # for room


def guest(run: str, name: str, asked: RunJob) -> VM:
    """A run as placement sees it: a guest without disks and network, which stays where it is."""
    cpus, mem_mib = promised_to_each(placed=True, cpus=asked.cpus, mem_mib=asked.mem_mib)
    return VM(Spec(run, name, cpus, mem_mib, pinned=True), job=True)


def promise(host: str, asked: RunJob) -> Promise:
    """What a run is promised on its host."""
    return Promise(host, *promised_to_each(placed=asked.placed, cpus=asked.cpus, mem_mib=asked.mem_mib))


def use(asked: RunJob, runs: int) -> Use:
    """What so many runs have of what is limited."""
    cpus, mem_mib = promised_to_each(placed=asked.placed, cpus=asked.cpus, mem_mib=asked.mem_mib)
    return Use(vcpus=runs * cpus, mem_mib=runs * mem_mib)


def _with_promises(cluster: Cluster, services: Services, name: str) -> Cluster:
    """The same, with what is promised to jobs on that host by now."""
    now = services.promises.on(name)
    return replace(cluster, hosts=tuple(replace(h, jobs=now) if h.name == name else h for h in cluster.hosts))


def allowed(cluster: Cluster, asked: RunJob) -> Cluster:
    """The hosts on which whoever asks has a log-in."""
    if not asked.logins:
        return cluster
    return replace(cluster, hosts=tuple(host for host in cluster.hosts if login_on(asked.logins, host.name)))


async def meant(store: Store, asked: RunJob) -> list[str]:
    """The hosts that are meant, by name; none where placement chooses. Raises NotFound."""
    if asked.placed:
        return []
    every = {host.name: host for host in await store.all(HostRecord)}
    if asked.hosts:
        for name in asked.hosts:
            if name not in every:
                raise NotFound(f"there is no host {name!r}", hint="vmctl host list")
            if asked.logins and not login_on(asked.logins, name):
                raise NotAllowed(f"there is no log-in for this on {name}: only {', '.join(asked.logins)}")
        return list(dict.fromkeys(asked.hosts))
    fitting = [name for name, host in every.items() if asked.labels.items() <= host.labels.items()]
    if asked.logins:
        fitting = [name for name in fitting if login_on(asked.logins, name)]
    if not fitting:
        which = ", ".join(f"{key}={value}" for key, value in sorted(asked.labels.items()))
        what = f"no host carries {which}" if which else "there are no hosts"
        raise NotFound(what, hint="vmctl host list" if every else "vmctl host add HOST")
    return sorted(fitting)


async def choose(
    services: Services, job: AnyJob, asked: RunJob, runs: Sequence[tuple[str, str]], waits: Callable[[str], None] | None
) -> list[Placement]:
    """Choose a host for each of some runs (id, name), and promise it; all or none. Raises NoHostFits.

    `waits`: room is waited for; it hears what for, and may raise to give up.
    """
    told = False
    while True:
        # One placement at a time: each counts what was promised before it.
        async with services.placing:
            taken: list[Placement] = []
            cluster = allowed(await measured(services), asked)
            for run, name in runs:
                vm = guest(run, name, asked)
                found = await services.threads.run(place, vm, cluster, services.policy, "")
                if isinstance(found, NoPlace):
                    break
                taken.append(found)
                services.promises.give(run, promise(found.host, asked))
                cluster = _with_promises(cluster, services, found.host)
            else:
                for (run, name), found in zip(runs, taken, strict=True):
                    await record.placement(services, job, "run", guest(run, name, asked), found, cluster)
                return taken
            for run, _ in runs:
                services.promises.end(run)
            if not told:
                await record.placement(services, job, "run", vm, found, cluster)
                told = True
        if waits is None:
            raise _none(found, len(taken), len(runs))
        waits(found.verdicts[0].why if found.verdicts else found.why)
        await asyncio.sleep(LOOK_AGAIN_S)


def _none(found: NoPlace, fitting: int, wanted: int) -> NoHostFits:
    err = no_host(found)
    if wanted == 1:
        return err
    return NoHostFits(f"{fitting} of {wanted} runs fit: {err.message}", lines=err.lines, hint=err.hint)
