"""Hosts come and go: learn the key, ask the doctor, prove what must hold between hosts, and only then register."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vmctl.act import proof
from vmctl.act.storage import forget_on
from vmctl.commands.hosts import AddHosts, CheckHosts, RemoveHost
from vmctl.errors import HostError, NotFound, PartlyFailed, Refused, Unreachable, VmctlError, by_code, made
from vmctl.hosts import address, doctor
from vmctl.hosts.doctor import Check
from vmctl.hosts.leaseprobe import PROBE, end_probes
from vmctl.hosts.letin import let_in
from vmctl.hosts.port import Link
from vmctl.hosts.ssh import HostKey, explain
from vmctl.model.joining import ControllerKey
from vmctl.model.records import HostRecord, Storage, VMRecord
from vmctl.services import Services
from vmctl.services.walls import wall
from vmctl.store.rules import left_behind, missing
from vmctl.tasks import Job
from vmctl.tasks.journals import Journal, Reporting

Adding = Job[AddHosts, Reporting]
Attach = Callable[[HostRecord], Link]

log = logging.getLogger("vmctl.act.hosts")


class Candidate:
    """A host on its way into the pool: its link, its report, what went wrong."""

    def __init__(self, record: HostRecord, link: Link) -> None:
        self.record = record
        self.link = link
        self.checks: list[Check] = []
        self.storages: list[Storage] = []  # that it was proven to share

    @property
    def failures(self) -> list[Check]:
        """What keeps it out."""
        return [check for check in self.checks if check.verdict == doctor.FAIL]


class Hosts:
    """The tasks about hosts. `attach` begins a supervised link for a registered host."""

    def __init__(self, services: Services, attach: Attach) -> None:
        self._services = services
        self._attach = attach

    # -- add

    async def add(self, job: Adding) -> dict[str, Any]:
        """Task: bring hosts into the pool, side by side; one that fails is not registered and stops no other."""
        # Named twice, a host is added once; the last spelling counts.
        wanted = list({host.name: host for host in map(address.wanted, job.args.hosts)}.values())
        report: dict[str, Any] = {}
        tries = [self._meet(job, host) for host in wanted]
        met = await asyncio.gather(*tries, return_exceptions=True)
        candidates: list[Candidate] = []
        for host, outcome in zip(wanted, met, strict=True):
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            elif isinstance(outcome, Exception):
                report[host.name] = _not_added(host.name, outcome)
            else:
                raise outcome
        try:
            await self._between(job, candidates)
            for candidate in candidates:
                name = candidate.record.name
                try:
                    report[name] = await self._register(job, candidate)
                except VmctlError as err:
                    report[name] = _not_added(name, err, candidate.checks)
        finally:
            await asyncio.gather(*(candidate.link.close() for candidate in candidates))
        return await self._welcome(job, report)

    async def _meet(self, job: Adding, host: address.Wanted) -> Candidate:
        name = host.name
        if await self._services.store.find(HostRecord, name) is not None:
            raise Refused(f"{name} is registered already", hint=f"vmctl host check {name}")
        key = await self._show_key(host)
        job.say(f"{name}: SSH host key {key.fingerprint}")
        user = host.user or job.args.user or self._services.settings.ssh_user
        record = HostRecord(
            name=name,
            address=host.address,
            host_key=key.public,
            fingerprint=key.fingerprint,
            added_at=self._services.clock.now(),
            port=host.port,
            ssh_user=user,
            migration_address=address.bare(given) if (given := job.args.migration_address) else "",
            labels=job.args.labels,
        )
        wanted = job.args.fingerprint
        if wanted and wanted != key.fingerprint:
            raise Refused(f"{name} shows {key.fingerprint}, not {wanted}", hint="check the key on the host's console")
        services = self._services
        # A directory of its own: the sockets of a candidate never meet those of the pool's lasting links.
        link = services.new_link(record, services.runtime / "joining")
        try:
            await link.connect()
            candidate = Candidate(record, link)
            candidate.checks = [Check("SSH", doctor.OK, f"{user}@{host.address}, key {key.fingerprint}")]
            candidate.checks += await doctor.examine(link)
            await self._find_lockspace(candidate, job.args.lockspace)
            return candidate
        # A cancel, too: nobody else knows of this link, so nobody else would close it.
        except BaseException:
            await link.close()
            raise

    async def _show_key(self, host: address.Wanted) -> HostKey:
        try:
            return await self._services.read_key(
                host.address, host.port, self._services.settings.timeouts.ssh_connect_s
            )
        except Unreachable as err:
            raise await self._services.threads.run(explain, err, host.name, host.address) from err

    async def _find_lockspace(self, candidate: Candidate, given: str) -> None:
        if given:
            found, check = given, Check("lock manager", doctor.OK, f"lockspace {given}, as given")
        else:
            found, check = await self._lockspace(candidate.link)
        candidate.checks.append(check)
        about, size = candidate.link.about, candidate.link.size
        assert about is not None
        facts = {"libvirt": about.libvirt, "qemu": about.qemu, "accel": about.accel, "host_uuid": about.host_uuid}
        candidate.record = replace(candidate.record, about=facts | _size(size) | {"lockspace": found})

    async def _lockspace(self, link: Link) -> tuple[str, Check]:
        """The doctor's answer, or the line that says why there is none."""
        try:
            return await doctor.lockspace(link)
        except VmctlError as err:
            return "", Check("lock manager", doctor.FAIL, err.message, err.hint)

    async def _remember_size(self, link: Link) -> None:
        """A host's size outlives the controller: one not reached since the next start keeps its own."""
        record = await self._services.store.get(HostRecord, link.name)
        known = record.about | _size(link.size)
        if known != record.about:
            await self._services.store.change(HostRecord, link.name, about=known)

    async def _between(self, job: Adding, candidates: list[Candidate]) -> None:
        """What must hold between hosts: one lock for all, networks, and the same shared storage."""
        job.show(text="proving the lock manager between hosts")
        inside = [link for _, link in sorted(self._services.links.items()) if link.online]
        sound = [c for c in candidates if not c.failures]
        # One partner is enough for each: who shares one lock space with the same host shares it with all.
        anchor = inside[0] if inside else (sound[0].link if sound else None)
        for candidate in sound:
            assert anchor is not None
            space = str(candidate.record.about["lockspace"])
            candidate.checks.append(await doctor.guard("lock", doctor.prove_lock, space, anchor, candidate.link))
        job.show(text="trying the network between all hosts")
        links = inside + [c.link for c in sound]
        for candidate in sound:
            candidate.checks += await self._network(candidate, [link for link in links if link is not candidate.link])
        for kept in await self._services.store.all(Storage):
            found = await proof.prove(kept, links)
            for candidate in sound:
                finding = found.findings[candidate.record.name]
                if finding.state is proof.State.GOOD:
                    candidate.storages.append(kept)
                # A host without a storage may join; it only gets no VMs of that storage.
                verdict = doctor.OK if finding.state is proof.State.GOOD else doctor.WARN
                text = finding.text or "shared, proven"
                candidate.checks.append(Check(f"storage {kept.name}", verdict, text, finding.hint))

    async def _network(self, candidate: Candidate, others: list[Link]) -> list[Check]:
        """Every host must reach every other host's migration ports, both ways; one line when they do."""
        pairs = [(candidate.link, other) for other in others] + [(other, candidate.link) for other in others]
        found = await asyncio.gather(*(doctor.guard("network", doctor.reach, *pair) for pair in pairs))
        bad = [check for check in found if check.verdict != doctor.OK]
        if others and not bad:
            text = f"migration ports open to and from {len(others)} other host{'s' * (len(others) > 1)}"
            bad = [Check("network", doctor.OK, text)]
        return bad

    async def _register(self, job: Adding, candidate: Candidate) -> dict[str, Any]:
        name = candidate.record.name
        checks = doctor.as_json(candidate.checks)
        if candidate.failures and not job.args.force:
            first = candidate.failures[0]
            return {"added": False, "checks": checks, "problem": f"{first.name}: {first.text}", "fix": first.fix}
        told = self._services.event("host", name, f"{name} joined the pool", job.task.who)
        try:
            # With its storages: a controller that dies here leaves no host that looks well and gets no VMs.
            await self._services.store.add_host(candidate.record, candidate.storages, told=[told])
        except Refused as err:  # it is the machine of another host, or somebody else added it meanwhile
            problem = err.message if err.hint else f"{name} is registered already"
            return {"added": False, "checks": checks, "problem": problem, "fix": err.hint or f"vmctl host check {name}"}
        return {"added": True, "checks": checks, "fingerprint": candidate.record.fingerprint}

    async def _welcome(self, job: Adding, report: dict[str, Any]) -> dict[str, Any]:
        """Begin the lasting links, wait for the first look at their domains, and sum up."""
        job.show(text="looking for running domains")
        # The candidate's link was closed: only the supervised one is followed and made anew when it breaks.
        for name in [name for name, row in report.items() if row["added"]]:
            link = self._attach(await self._services.store.get(HostRecord, name))
            await link.wait_online(10.0)
            await _first_look(link)
            await self._until_adopted(link)
            report[name]["domains"] = sorted(domain.name for domain in link.domains.values())
        job.keep(report=report)
        failed = {name: row for name, row in report.items() if not row["added"]}
        if failed:
            lines = tuple(f"{name}: {row['problem']}  -> {row['fix']}" for name, row in failed.items())
            # Those that were added stay added. The report is kept, so that the task's error can tell of each host.
            await job.note("done", report=report)
            message = f"{len(failed)} of {len(report)} hosts were not added"
            again = " ".join(text for text in job.args.hosts if text.partition("=")[0] in failed)
            raise made(_common(report), message, f"vmctl host add {again}", lines)
        return {"hosts": report}

    async def _until_adopted(self, link: Link) -> None:
        """Its domains are registered by who follows it: waited for a little, so that the next command has them."""
        # 10 s at most: a domain that cannot be read is adopted at a later look, and must not hold up the task.
        for _ in range(100):
            known = {vm.uuid for vm in await self._services.store.all(VMRecord)}
            if all(domain.uuid in known or domain.name.startswith(PROBE) for domain in link.domains.values()):
                return
            await asyncio.sleep(0.1)

    # -- check, remove

    async def check(self, job: Job[CheckHosts, Journal]) -> dict[str, Any]:
        """Task: the doctor again, on registered hosts."""
        names = job.args.hosts or sorted(self._services.links)
        for name in names:
            self._services.link(name)  # a name that nobody knows is refused before anybody is asked
        report: dict[str, Any] = {}
        for name in names:
            job.show(text=f"checking {name}")
            (found,) = await asyncio.gather(self._examine(name), return_exceptions=True)  # it stops no other host
            if isinstance(found, Exception):
                found = [doctor.failed("host check", found)]
            elif isinstance(found, BaseException):
                raise found
            report[name] = {"checks": doctor.as_json(found)}
        return {"hosts": report}

    async def _examine(self, name: str) -> list[Check]:
        link = self._services.link(name)
        await link.wait_online(5.0)
        if not link.online:
            try_ssh = f"ssh {link.record.ssh_user}@{link.record.address}"
            return [Check("connection", doctor.FAIL, link.why, link.mend or try_ssh)]
        candidate = Candidate(link.record, link)
        candidate.checks = [Check("SSH", doctor.OK, f"key {link.record.fingerprint}"), *await doctor.examine(link)]
        space, check = await self._lockspace(link)
        candidate.checks.append(check)
        others = [other for _, other in sorted(self._services.links.items()) if other.online and other is not link]
        if space:
            check = await doctor.guard("lock", doctor.prove_lock, space, (others or [link])[0], link)
            candidate.checks.append(check)
        candidate.checks += await self._network(candidate, others)
        await self._remember_size(link)
        for kept in await self._services.store.all(Storage):
            finding = (await proof.prove(kept, [*others[:1], link])).findings[name]
            candidate.checks.append(_storage_check(kept, name, finding))
        return candidate.checks

    async def remove(self, job: Job[RemoveHost, Journal]) -> dict[str, Any]:
        """Task: let a host go, as it was found. Refused while it runs a VM of ours, unless `force`.

        A VM that ran there then may still run there, and its record says so: nobody starts it elsewhere or deletes its
        disks before that machine is back, or an admin signs that it is off. Adopted ones are forgotten.
        """
        services, name = self._services, job.args.host
        link = services.link(name)
        here = [vm for vm in await services.store.all(VMRecord) if name in (vm.host, vm.moving_to)]
        held = [f"{vm.name} (task {vm.task})" for vm in here if vm.task is not None]
        if held:
            raise Refused(f"tasks hold VMs of {name}: {', '.join(held[:5])}", hint="vmctl task list")
        left_behind(link.record, name, here, force=job.args.force)  # asked again when it is forgotten
        if link.online:
            await end_probes(link)
            for kept in await services.store.all(Storage):
                # The host is left as it was found, so without our pools.
                await forget_on(link, kept, job)
        forgotten, kept_on = await services.store.remove_host(name, force=job.args.force)
        if services.links.pop(name, None) is None:
            raise missing("host", name)  # somebody else let it go at the same time
        if link.online and await services.store.all(ControllerKey):
            with wall(log, f"controllers' keys on {name}"):  # not before the registry has let it go
                await let_in(link, ())
        await link.close()
        services.loads.forget(name)
        services.incarnations.host_removed(link)
        words = [f"{name} left the pool"]
        words += [f"forgotten, as they were adopted: {', '.join(forgotten)}"] * bool(forgotten)
        words += [f"may still run there: {', '.join(kept_on)}"] * bool(kept_on)
        await services.record_event("host", name, "; ".join(words), job.task.who)
        return {"host": name, "forgotten": forgotten, "may_still_run": kept_on}


def _storage_check(kept: Storage, host: str, finding: proof.Finding) -> Check:
    """Only what is proven to be wrong is a failure, and a storage that was never this host's cannot fail it."""
    name, ours = f"storage {kept.name}", host in kept.hosts
    if finding.state is proof.State.GOOD:
        return Check(name, doctor.OK, f"{kept.path} shared, proven")
    bad = finding.state is proof.State.WRONG or (finding.state is proof.State.ABSENT and ours)
    return Check(name, doctor.FAIL if bad else doctor.WARN, finding.text, finding.hint)


def _size(size: tuple[int, int] | None) -> dict[str, Any]:
    return {"cpus": size[0], "mem_mib": size[1]} if size is not None else {}


def _not_added(name: str, err: Exception, checks: Sequence[Check] = ()) -> dict[str, Any]:
    """The report's row for a host that stumbled: it stops no other."""
    check = doctor.failed(f"host add {name}", err)
    code = err.code if isinstance(err, VmctlError) else ""
    rows = doctor.as_json(list(checks))
    return {"added": False, "checks": rows, "problem": check.text, "fix": check.fix, "code": code}


def _common(report: dict[str, Any]) -> type[VmctlError]:
    """What to raise where hosts were not added: what all of them died of, where that is one thing."""
    codes = {str(row.get("code", "Refused")) for row in report.values() if not row["added"]}
    if any(row["added"] for row in report.values()):
        return PartlyFailed
    return by_code(codes.pop()) if len(codes) == 1 and "" not in codes else Refused


async def _first_look(link: Link) -> None:
    try:
        await link.refresh_domains()
    except (HostError, NotFound):
        return
