"""The registry in this process's memory: small, without threads and without files, for simulated clusters.

It is also what the SQL store is measured by: no method waits for anything, so that two of them never mix.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any, TypeVar

from vmctl.errors import VmctlError
from vmctl.model import rights
from vmctl.model.access import Failures, Token, Use
from vmctl.model.audit import Entry, Kept, following
from vmctl.model.pages import Wanted
from vmctl.model.records import (
    ClusterValue,
    DecisionRecord,
    Event,
    Given,
    HostRecord,
    Image,
    LoadMean,
    Storage,
    Task,
    VMRecord,
    load_of,
)
from vmctl.model.replicas import HostSession, Replica
from vmctl.model.rights import ALL, Sight
from vmctl.model.uploads import Upload
from vmctl.model.vms import PowerState
from vmctl.model.watching import HostReport, HostWatch, MachineReader
from vmctl.ports import SYSTEM, Clock
from vmctl.store import access_rules, limit_rules, rules
from vmctl.store.leasing import Leasing
from vmctl.store.memory_ledger import MemoryLedger
from vmctl.store.memory_replicas import MemoryReplicas
from vmctl.store.memory_users import MemoryUsers
from vmctl.store.memory_watching import MemoryWatching

Record = TypeVar("Record")
_MUTABLE = (dict, list)
# Kind of record -> what reads all of its fields, in the order in which they are given to make one
_VALUES: dict[type[Any], Callable[[Any], tuple[Any, ...]]] = {
    kind: attrgetter(*(field.name for field in fields(kind))) for kind in rules.KEYS
}


class MemoryStore(Leasing, MemoryUsers, MemoryReplicas, MemoryWatching):
    """What its methods promise is in `vmctl.ports.store`."""

    def __init__(self, clock: Clock = SYSTEM.clock) -> None:
        super().__init__(clock)
        self._kept: dict[type[Any], dict[Any, Any]] = {kind: {} for kind in rules.KEYS}
        self._audit: list[Kept] = []
        self._asked = 0
        self._numbers: dict[type[Any], int] = {}
        self.ledger = MemoryLedger(self.kept_by)

    async def close(self) -> None:
        return

    # -- any kind of record

    async def all(self, kind: type[Record]) -> list[Record]:
        return self._all(kind)

    async def vms_about(self, host: HostRecord, shown: Collection[str]) -> list[VMRecord]:
        return self._all(VMRecord, lambda vm: vm.uuid in shown or rules.is_about(vm, host))

    async def inventory(self) -> tuple[list[HostRecord], list[VMRecord], list[Storage]]:
        return self._all(HostRecord), self._all(VMRecord), self._all(Storage)

    async def find(self, kind: type[Record], key: Any) -> Record | None:
        return self._find(kind, key)

    async def get(self, kind: type[Record], key: Any) -> Record:
        found = self._find(kind, key)
        if found is None:
            raise rules.missing(rules.WORDS.get(kind, kind.__name__), str(key))
        return found

    async def put(self, record: Any) -> None:
        self._put(record)

    async def insert(self, record: Any) -> None:
        kind, key = type(record), rules.key_of(record)
        if key in self._kept[kind]:
            raise rules.there_is(kind, key)
        self._put(record)

    async def add(self, record: Any) -> int:
        return self._add(record)

    async def change(
        self,
        kind: type[Any],
        key: Any,
        *,
        told: Collection[Event] = (),
        check: Callable[[Any], None] | None = None,
        **values: Any,
    ) -> None:
        if check is not None:
            check(self._find(kind, key))
        self._change(kind, key, values)
        self._tell(told)

    async def revise(self, kind: type[Record], key: Any, change: Callable[[Record | None], Record]) -> Record:
        after = change(self._find(kind, key))
        self._put(after)
        return after

    async def remove(self, kind: type[Any], key: Any, *, told: Collection[Event] = ()) -> None:
        self._kept[kind].pop(key, None)
        if kind is VMRecord:
            self._end_grants(scope=rights.vm(key))
        self._tell(told)

    # -- VMs

    async def find_vm(self, name: str) -> VMRecord | None:
        return next(iter(self._all(VMRecord, lambda vm: name in (vm.name, vm.uuid))), None)

    async def page_of_vms(self, wanted: Wanted) -> list[VMRecord]:
        return sorted(self._all(VMRecord, wanted.fits), key=lambda vm: vm.name)[: wanted.most]

    @property
    def writes(self) -> int:
        self._asked += 1  # nobody counts: whoever asks is told that there may be something new
        return self._asked

    async def vm(self, name: str) -> VMRecord:
        found = await self.find_vm(name)
        if found is None:
            raise rules.missing("VM", name)
        return found

    async def add_vm(self, record: VMRecord, *, made: bool = False) -> None:
        image = record.spec.image
        if made and image and image not in self._kept[Image]:
            raise rules.missing("image", image)
        self._in_project(record.project)
        if made:
            self._within(limit_rules.whose(record.owner, record.project), limit_rules.of_vm(record))
        if record.adopted and record.host and record.host not in self._kept[HostRecord]:
            raise rules.missing("host", record.host)
        if any(record.name == vm.name or record.uuid == vm.uuid for vm in self._kept[VMRecord].values()):
            raise rules.name_taken(record.name)
        self._put(record)

    async def claim(self, vm: VMRecord, task: int) -> VMRecord:
        found = self._find(VMRecord, vm.uuid)
        if found is None:
            raise rules.missing("VM", vm.name)
        if found.task not in (None, task):
            raise rules.held(vm, found.task or 0, self._find(Task, found.task))
        self._change(VMRecord, vm.uuid, {"task": task})
        return replace(found, task=task)

    async def _lease(
        self,
        vm: VMRecord,
        host: str,
        power: PowerState,
        *,
        gone: Collection[str],
        also: Collection[str],
        told: Collection[Event],
        **more: Any,
    ) -> VMRecord:
        machines = {one.name: one.machine for one in self._kept[HostRecord].values()}
        values = rules.leased(vm, host, power, machines, gone=gone, also=also, more=more)
        found = self._kept[VMRecord].get(vm.uuid)
        if found is None or found.epoch != vm.epoch:
            raise rules.overtaken(vm)
        self._change(VMRecord, vm.uuid, values)
        self._tell(told)
        return await self.vm(vm.uuid)

    async def forget_vm(self, vm: VMRecord, *, told: Collection[Event] = ()) -> None:
        found = self._find(VMRecord, vm.uuid)
        if found is None or found.epoch != vm.epoch or found.task is not None:
            raise rules.overtaken(vm)
        await self.remove(VMRecord, vm.uuid, told=told)

    async def take_slot(self, vm: VMRecord, target: str, most_out: int, most_in: int) -> str | None:
        why = rules.must_wait(self._all(VMRecord), vm, target, most_out, most_in)
        if why is None:
            self._change(VMRecord, vm.uuid, {"copying": True})
        return why

    async def add_image(self, image: Image, *, again: bool = False) -> None:
        if image.storage not in self._kept[Storage]:
            raise rules.missing("storage", image.storage)
        self._in_project(image.project)
        if not again:
            self._within(limit_rules.whose("", image.project), limit_rules.of_image(image))
        await self.insert(image)

    async def add_upload(self, upload: Upload) -> None:
        if upload.storage not in self._kept[Storage]:
            raise rules.missing("storage", upload.storage)
        self._in_project(upload.project)
        self._within(limit_rules.whose("", upload.project), limit_rules.of_upload(upload))
        await self.insert(upload)

    async def finish_upload(self, key: str, image: Image, *, told: Collection[Event] = ()) -> None:
        rules.finished(self._find(Upload, key), key, image)
        kept = self._kept[Upload].pop(key)  # what it had is the image's now
        try:
            await self.add_image(image)
        except VmctlError:
            self._kept[Upload][key] = kept
            raise
        self._tell(told)

    async def add_storage(self, storage: Storage) -> None:
        rules.check_new_storage(storage, self._all(Storage))
        await self.insert(storage)
        self._kept[ClusterValue].pop(rules.proof_of(storage.name), None)

    async def take_storage(self, name: str) -> None:
        rules.check_empty(name, self._all(VMRecord), self._all(Image), self._all(Upload))
        self._kept[Storage].pop(name, None)
        self._kept[ClusterValue].pop(rules.proof_of(name), None)

    async def take_image(self, name: str) -> None:
        rules.check_unused(self._find(Image, name), name, self._all(VMRecord))
        self._kept[Image].pop(name, None)

    async def add_host(
        self, host: HostRecord, storages: Collection[Storage] = (), *, told: Collection[Event] = ()
    ) -> None:
        rules.check_new_host(host, self._all(HostRecord))
        await self.insert(host)
        self._kept[ClusterValue].pop(rules.BASELINE, None)
        for proven in storages:
            storage = self._find(Storage, proven.name)
            if storage is not None and rules.is_same(storage, proven):
                self._put(replace(storage, hosts=sorted({*storage.hosts, host.name})))
        self._tell(told)

    async def remove_host(self, name: str, *, force: bool = True) -> tuple[list[str], list[str]]:
        forgotten, kept = rules.left_behind(self._find(HostRecord, name), name, self._all(VMRecord), force=force)
        for vm in forgotten:
            del self._kept[VMRecord][vm.uuid]
        for vm in kept:
            self._put(vm)
        for storage in self._all(Storage):
            self._put(replace(storage, hosts=[host for host in storage.hosts if host != name]))
        for kind in (HostRecord, HostWatch, HostReport):
            self._kept[kind].pop(name, None)
        means = self._kept[LoadMean]
        self._kept[LoadMean] = {key: mean for key, mean in means.items() if mean.subject != load_of(name)}
        return [vm.name for vm in forgotten], [vm.name for vm in kept]

    # -- tasks, decisions, events, measurements

    async def open_tasks(self) -> list[Task]:
        return self._all(Task, lambda task: task.state not in rules.ENDED)

    async def promise_to_task(self, task: int, of: Collection[str], wanted: Use, **values: Any) -> None:
        self._within(of, wanted)
        if values:
            await self.change(Task, task, **values)

    async def end_task(self, task: int, *, entry: Entry | None = None, **values: Any) -> None:
        for vm in self._all(VMRecord, lambda vm: vm.task == task):
            self._change(VMRecord, vm.uuid, dict(rules.FREED))
        self._change(Task, task, values)
        if entry is not None:
            await self.audit(entry)

    async def audit(self, entry: Entry) -> None:
        self._audit.append(following(self._audit[-1] if self._audit else None, entry))

    async def accept(self, task: Task, entry: Entry, *, given: Given | None = None, limited: bool = False) -> int:
        if limited:
            self._within(limit_rules.whose(task.who, task.project), Use(commands=1))
        if given is not None and given.key in self._kept[Given]:
            raise rules.there_is(Given, given.key)
        number = self._add(task)
        if given is not None:
            self._put(replace(given, task=number))
        await self.audit(replace(entry, task=number))
        return number

    async def newest_audited(self, before: int | None = None, most: int = 1) -> list[Kept]:
        until = len(self._audit) if before is None else before - 1
        return self._audit[max(0, until - most) : until]

    async def chain(self, after: int, most: int) -> list[Kept]:
        return self._audit[after : after + most]

    async def tasks(
        self, most: int = 50, sight: Sight = ALL, *, kind: str = "", also_of: str = "", after: int = 0
    ) -> list[Task]:
        def wanted(task: Task) -> bool:
            seen = sight.shows(task.thing) or (also_of != "" and task.who == also_of)
            return seen and kind in ("", task.kind) and (task.id or 0) > after

        return self._all(Task, wanted)[-most:]

    async def decisions(self, subject: str, before: float | None = None, most: int = 1) -> list[DecisionRecord]:
        until = float("inf") if before is None else before
        return self._all(DecisionRecord, lambda one: one.subject == subject and one.made_at <= until)[-most:]

    async def events(self, after: int = 0, most: int = 100, sight: Sight = ALL) -> list[Event]:
        found = self._all(Event, lambda event: (event.id or 0) > after and sight.shows(event.thing))
        return found[:most] if after else found[-most:]

    async def add_means(self, means: list[LoadMean]) -> None:
        for mean in means:
            self._put(mean)

    async def means(self, subject: str, period_s: int, since: float) -> list[LoadMean]:
        wanted = subject, period_s
        return self._all(LoadMean, lambda one: (one.subject, one.period_s) == wanted and one.at >= since)

    async def prune(self, now: float) -> int:
        told, minutes, tens = now - rules.TOLD_KEPT_S, now - rules.MINUTES_KEPT_S, now - rules.TENS_KEPT_S
        forgotten = {one.life for one in self._all(Replica) if one.ended_at is not None and one.ended_at < tens}
        old: dict[type[Any], Callable[[Any], bool]] = {
            LoadMean: lambda one: one.at < tens or (one.period_s < 600 and one.at < minutes),
            Failures: lambda one: one.since < now - access_rules.FAILURES_S,
            Token: lambda one: one.expires_at < tens,
            Given: lambda one: one.at < now - rules.GIVEN_KEPT_S,
            HostSession: lambda one: one.life in forgotten and self._find(HostRecord, one.host) is None,
            MachineReader: lambda one: one.life in forgotten,
            Replica: lambda one: one.life in forgotten,
            Event: lambda one: one.at < told,
            DecisionRecord: lambda one: one.made_at < told,
            Task: lambda one: one.ended_at is not None and one.created_at < told,
        }
        gone = [(kind, key) for kind, is_old in old.items() for key, one in self._kept[kind].items() if is_old(one)]
        for kind, key in gone:
            del self._kept[kind][key]
        return len(gone)

    # -- one step each; nothing waits in between

    def _all(self, kind: type[Record], wanted: Callable[[Record], bool] = lambda _record: True) -> list[Record]:
        return [_own(record) for _, record in sorted(self._kept[kind].items()) if wanted(record)]

    def _find(self, kind: type[Record], key: Any) -> Record | None:
        return _own(self._kept[kind][key]) if key in self._kept[kind] else None

    def _put(self, record: Any) -> None:
        self._kept[type(record)][rules.key_of(record)] = _own(record)

    def _add(self, record: Any) -> int:
        kind = type(record)
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        self._put(replace(record, id=number))
        return number

    def _change(self, kind: type[Any], key: Any, values: dict[str, Any]) -> None:
        if key in self._kept[kind]:
            own = {name: _copied(value) if isinstance(value, _MUTABLE) else value for name, value in values.items()}
            self._kept[kind][key] = replace(self._kept[kind][key], **own)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._add(event)


def _own(record: Any) -> Any:
    """The record with lists and dicts of its own: what somebody does to his is not done to the registry's."""
    kind = type(record)
    return kind(*[_copied(value) if isinstance(value, _MUTABLE) else value for value in _VALUES[kind](record)])


def _copied(value: Any) -> Any:
    """Plain values, all the way down: what a registry keeps is JSON. (`copy.deepcopy` takes five times as long.)"""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, (list, tuple)) else value
