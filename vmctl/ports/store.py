"""What the controller asks of its registry, whatever keeps it. Every method is one transaction: whole, or not at all.

Two methods at once give what one of the two orders would give; tests/store/test_pairs.py tries them all.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from vmctl.ledger import Changes, Life, Listening, Run, ShortLived
from vmctl.model.access import Access, Grant, Limit, Token, Use
from vmctl.model.audit import Entry, Kept
from vmctl.model.joining import ControllerKey, Invitation
from vmctl.model.pages import Wanted
from vmctl.model.policy import LedgerPolicy
from vmctl.model.records import DecisionRecord, Event, Given, HostRecord, Image, LoadMean, Storage, Task, VMRecord
from vmctl.model.replicas import HostSession, Lead, Replica
from vmctl.model.rights import ALL, Sight
from vmctl.model.uploads import Upload
from vmctl.model.vms import PowerState
from vmctl.model.watching import HostReport, HostWatch

Record = TypeVar("Record")
Done = TypeVar("Done")


class Records(Protocol):
    """Any kind of record. Its key: a VM's UUID, the number of what is numbered, the name of anything else."""

    async def all(self, kind: type[Record]) -> list[Record]:
        """Every record of a kind, in the order of its key."""

    async def inventory(self) -> tuple[list[HostRecord], list[VMRecord], list[Storage]]:
        """Hosts, VMs and storages as they were at one moment."""

    async def find(self, kind: type[Record], key: Any) -> Record | None:
        """The record with that key."""

    async def get(self, kind: type[Record], key: Any) -> Record:
        """The record with that key. Raises NotFound."""

    async def put(self, record: Any) -> None:
        """Insert a record or replace the one with its key: what was there does not matter."""

    async def insert(self, record: Any) -> None:
        """Add a record with a key of its own. Raises Refused when there is one with that key."""

    async def add(self, record: Any) -> int:
        """Add a record that gets its number here; returns it."""

    async def change(
        self,
        kind: type[Any],
        key: Any,
        *,
        told: Collection[Event] = (),
        check: Callable[[Any], None] | None = None,
        **values: Any,
    ) -> None:
        """Set some fields of one record, whatever they were, and record the events that tell of it.

        `check` is given the record as it is (None: there is none), and may raise: then nothing is changed.
        """

    async def revise(self, kind: type[Record], key: Any, change: Callable[[Record | None], Record]) -> Record:
        """Put what `change` makes of the record with that key (None: there is none); nobody changes it in between.

        `change` computes and does nothing else: it may be called again.
        """

    async def remove(self, kind: type[Any], key: Any, *, told: Collection[Event] = ()) -> None:
        """Forget one record, and record the events that tell of it."""


class VMs(Protocol):
    """VMs, where they are, and who holds them."""

    async def find_vm(self, name: str) -> VMRecord | None:
        """The VM of that name or UUID, if there is one."""

    async def page_of_vms(self, wanted: Wanted) -> list[VMRecord]:
        """Some VMs, by name."""

    async def vm(self, name: str) -> VMRecord:
        """The VM of that name or UUID. Raises NotFound."""

    async def vms_about(self, host: HostRecord, shown: Collection[str]) -> list[VMRecord]:
        """VMs that a host has to do with, or whose UUIDs it has `shown`.

        It is theirs, or is about to be, they may run there, or last ended there; those of which the registry has more
        than one copy, too.
        """

    async def add_vm(self, record: VMRecord, *, made: bool = False) -> None:
        """Register a VM. Raises Refused when its name is taken.

        NotFound where its project is gone, where it is just `made` and its image gone, adopted and its host gone;
        OverLimit where it is just `made` and its owner or its project has as much as it may have.
        """

    async def forget_vm(self, vm: VMRecord, *, told: Collection[Event] = ()) -> None:
        """Remove a VM that is as it was read, and that no task holds. Raises Overtaken."""

    async def claim(self, vm: VMRecord, task: int) -> VMRecord:
        """Let one task hold the VM: two commands never act on one VM at once. Refused names the holder."""

    async def lease(
        self,
        vm: VMRecord,
        host: str,
        power: PowerState,
        *,
        gone: Collection[str] = (),
        also: Collection[str] = (),
        told: Collection[Event] = (),
        **more: Any,
    ) -> VMRecord:
        """Write where a VM is: takes a new epoch, and is refused when somebody else took one since `vm` was read.

        `gone`: hosts that were seen not to have it, or for which an admin signed; `also`: further ones where it may run
        from now on; `told`: the events that tell of it. A VM that may still run somewhere is not stopped, whatever
        `power` says: it is UNKNOWN.

        A registry that takes nothing is waited for: what a host did must be written down.
        """

    async def take_slot(self, vm: VMRecord, target: str, most_out: int, most_in: int) -> str | None:
        """Let a VM copy to `target`, unless its hosts copy enough already: then why it must wait, in words."""

    async def add_image(self, image: Image, *, again: bool = False) -> None:
        """Register an image.

        Raises Refused when its name is taken, NotFound when its storage was forgotten, OverLimit unless it was there
        before and is registered `again`.
        """

    async def take_image(self, name: str) -> None:
        """Forget an image that no VM is made from. Refused names those that are."""

    async def add_storage(self, storage: Storage) -> None:
        """Register a storage; what an earlier one of its name was proven to do is forgotten.

        Raises Refused when its name is taken, and for a path that is a storage already.
        """

    async def take_storage(self, name: str) -> None:
        """Forget a storage and what it was proven to do. Refused names VMs and images that are on it."""

    async def add_host(
        self, host: HostRecord, storages: Collection[Storage] = (), *, told: Collection[Event] = ()
    ) -> None:
        """Register a host with the storages that it was proven to share; one that was forgotten is left out.

        It may lack the CPU that was common to all, which is forgotten. Raises Refused when its name is taken, and for a
        machine that is there under another name.
        """

    async def remove_host(self, name: str, *, force: bool = True) -> tuple[list[str], list[str]]:
        """Forget a host, in one step with what is known of its VMs: (adopted VMs forgotten, VMs that may still run).

        Raises Refused while a task holds one of them, and, unless `force`, while one of ours may run there.
        """


class Uploads(Protocol):
    """Images on their way onto a storage. How far one is, `revise` writes."""

    async def add_upload(self, upload: Upload) -> None:
        """Register an upload. Raises NotFound when its storage or its project is gone, OverLimit."""

    async def finish_upload(self, key: str, image: Image, *, told: Collection[Event] = ()) -> None:
        """Let an upload become an image, in one step: its files have one owner all the time.

        Raises Refused when the image's name is taken or the upload is not whole, NotFound when any of it is gone,
        OverLimit where the image is larger than what was sent, and its project has no more room.
        """


class History(Protocol):
    """What was asked for, decided, seen to happen, and measured."""

    async def open_tasks(self) -> list[Task]:
        """Tasks that have not ended: after a start, those of a controller that died."""

    async def promise_to_task(self, task: int, of: Collection[str], wanted: Use, **values: Any) -> None:
        """Change a task by which some users and projects have more of what is limited. Raises OverLimit.

        With no values it is only asked whether they may.
        """

    async def end_task(self, task: int, *, entry: Entry | None = None, **values: Any) -> None:
        """Write a task's end with the entry that tells of it; let go of its VMs and of what was promised to it."""

    async def tasks(
        self, most: int = 50, sight: Sight = ALL, *, kind: str = "", also_of: str = "", after: int = 0
    ) -> list[Task]:
        """The newest tasks that somebody may see, oldest first; those of one `kind`; and those that he gave himself.

        Of those with a greater number than `after` only.
        """

    async def decisions(self, subject: str, before: float | None = None, most: int = 1) -> list[DecisionRecord]:
        """The newest decisions about a VM (its UUID) or a host, those made until `before`; oldest first."""

    async def events(self, after: int = 0, most: int = 100, sight: Sight = ALL) -> list[Event]:
        """The next events after that number that somebody may see, oldest first; after 0 the newest ones."""

    async def add_means(self, means: list[LoadMean]) -> None:
        """Keep means of load; one that is there already is replaced."""

    async def means(self, subject: str, period_s: int, since: float) -> list[LoadMean]:
        """A subject's means since a time, oldest first."""

    async def prune(self, now: float) -> int:
        """Forget what is older than kept: minutes 24 h, ten minutes 30 days, events, tasks and decisions 90 days."""


class Users(Protocol):
    """Who there is, and who may do what."""

    async def access(self) -> Access:
        """All of it, as it was at one moment."""

    async def add_grant(self, grant: Grant) -> None:
        """Keep a grant. Raises Refused where it is there, NotFound where something that it names is not."""

    async def remove_grant(self, who: str, role: str, scope: str) -> None:
        """Forget a grant. Raises NotFound."""

    async def add_token(self, token: Token) -> None:
        """Keep a token. Raises NotFound where its owner is gone."""

    async def count_failure(self, of: Iterable[str], now: float) -> None:
        """Count a log-in that failed, of each of these (a user, an address)."""

    async def failures(self, of: Iterable[str], now: float) -> float:
        """For how many seconds nobody of these may log in; 0: somebody may."""

    async def remove_user(self, name: str) -> None:
        """Forget a user, with his grants, his tokens and his place in groups. Raises NotFound."""

    async def remove_group(self, name: str) -> None:
        """Forget a group, with its grants. Raises NotFound."""

    async def remove_project(self, name: str) -> None:
        """Forget a project, with the grants on it. Raises NotFound; Refused names what belongs to it."""

    async def remove_role(self, name: str) -> None:
        """Forget a role. Raises NotFound; Refused names who has it."""

    async def move_vm(self, vm: str, project: str, check: Callable[[Any], None] | None = None) -> None:
        """Let a VM (UUID) belong to another project; `check` as of `change`. Raises NotFound, OverLimit."""

    async def set_limit(self, of: str, change: Callable[[Limit], Limit]) -> Limit:
        """Let a user (user:NAME) or a project (project:NAME) have no more than what `change` makes of its limit.

        What it has already stays. Raises NotFound where there is no such user or project.
        """

    async def end_tokens(self, user: str) -> None:
        """Forget all tokens of a user."""


class Audit(Protocol):
    """What somebody asked for and what became of it: only ever appended to."""

    async def audit(self, entry: Entry) -> None:
        """Append an entry."""

    async def accept(self, task: Task, entry: Entry, *, given: Given | None = None, limited: bool = False) -> int:
        """Add a task and the entry that tells of it, in one step; the number that both have.

        `given`: the key that it was given with, which is kept in the same step: Refused where that is kept already.
        `limited`: OverLimit where who gave it, or its project, has as many commands under way as it may.
        """

    async def newest_audited(self, before: int | None = None, most: int = 1) -> list[Kept]:
        """The last entries before a number, or of all; oldest first."""

    async def chain(self, after: int, most: int) -> list[Kept]:
        """The next entries after a number, from the first one on."""


class Ledger(Protocol):
    """The lives of processes, who listened where, and counts of what was short-lived.

    What is written and what is forgotten goes in batches, each a transaction, so that no task waits long for it.
    """

    async def write(self, changes: Changes) -> None:
        """Keep changes; the same ones may come twice, but for counts."""

    async def prune(self, now: float, policy: LedgerPolicy) -> int:
        """Forget what ended too long ago, and the oldest of machines that have too many; returns how many lives."""

    async def runs(self, machines: Collection[str] | None = None) -> dict[Run, float]:
        """The boots of machines (UUIDs; None: all) that are remembered, and when each was seen last."""

    def valid(self, machines: Collection[str] | None = None) -> AsyncIterator[tuple[Run, list[Life]]]:
        """The lives of machines, or of all, that nobody saw end, boot by boot."""

    async def open_ports(self, lives: Collection[uuid.UUID] | None = None) -> dict[uuid.UUID, tuple[Listening, ...]]:
        """Where lives, or all, listen, as far as written."""

    async def processes(
        self,
        machine: str | None = None,
        program: str | None = None,
        *,
        valid: bool | None = None,
        most: int = 1000,
        but: str = "",
    ) -> list[Life]:
        """Lives of a machine (UUID), of a program, or all: the valid ones first, then the newest ends.

        `but`: not those of machines whose ledger that controller's life keeps.
        """

    async def find(self, name: str) -> list[Life]:
        """The lives of that gpid, UUID or beginning of a UUID, valid and newest first. Raises ValueError."""

    async def previous_lives(self, life: Life, most: int = 20) -> list[Life]:
        """Earlier runs of the program on the same machine, by the same port or command where known, newest first."""

    async def listening(self, ip: str, port: int, at: float, most: int = 100) -> list[Life]:
        """Who listened on that port of that address then, in the order they began."""

    async def short_lived(self, machine: str | None, since_day: int, most: int = 200) -> list[ShortLived]:
        """What was too short-lived for a row, since a day, the most CPU first."""


class Replicas(Protocol):
    """Controllers' lives. What is written for one that was ended is refused: Deposed passes every handler and undo."""

    @property
    def shared(self) -> bool:
        """Whether several controllers may use it."""

    def begin_life(self, replica: Replica) -> None:
        """Register the life that this process writes for from now on; an earlier one of the same home has ended.

        Blocking: nothing else has begun. Raises Refused where one from elsewhere has not ended, and several cannot
        share the registry.
        """

    async def beat(self, life: str, now: float) -> float:
        """Count one more; the time by the registry's clock, which is `now` for a registry that nobody shares.

        Raises Deposed once it was ended.
        """

    async def lives(self) -> tuple[list[Replica], Lead | None]:
        """Those that have not ended, and who leads, as it was at one moment. It may have ended since it led."""

    async def heard(self, life: str = "") -> list[tuple[Replica, float | None]]:
        """All lives, or that one, and for how many seconds each was not heard.

        By the registry's clock; None: no one can tell.
        """

    async def lead(self, life: str, now: float, *, told: Collection[Event] = ()) -> Lead | None:
        """Let a life lead where none does that has not ended; None where another one leads.

        `told` tells of it where it leads from now on.
        """

    async def bury(
        self, life: str, beat: int, why: str, now: float, *, told: Collection[Event] = (), entry: Entry | None = None
    ) -> bool:
        """End a life that stands at that beat, with what tells of it; whether that was done now.

        One that has beaten since lives on: whoever thought it dead has looked too seldom.
        """

    async def left_sessions(self, host: str, life: str) -> list[HostSession]:
        """The sessions on a host that nobody needs: of lives that have ended, or neither lead nor watch it.

        And those of this one.
        """

    async def keep_session(self, session: HostSession | None, gone: Collection[HostSession] = ()) -> None:
        """Forget sessions that were seen to be gone, and keep one that is about to be used, in one step."""

    async def end_life(
        self, life: str, why: str, now: float, *, told: Collection[Event] = (), entry: Entry | None = None
    ) -> None:
        """Let nothing more be written for it, with what tells of it, in one step. Raises NotFound."""


class Watching(Protocol):
    """Which controller's life watches which host, what it tells of it, and whose ledgers it keeps."""

    async def share_out(self, given: Mapping[str, str], now: float) -> None:
        """Let lives watch hosts from now on: one that is another's gets a new epoch.

        Hosts that have left the pool are left out.
        """

    async def watched_by(self, life: str) -> list[HostWatch]:
        """The hosts that a life watches."""

    async def report(self, life: str, reports: Collection[HostReport], now: float) -> None:
        """Keep what a life tells of hosts, in place of what was told before; of those that it watches at that epoch.

        `now`, UTC seconds, is when, for a registry that has no clock of its own.
        """

    async def reports(self, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        """What is told of hosts, but for the reports (epoch, number) that are `known`."""

    async def report_heads(self, known: Mapping[str, tuple[int, int]]) -> list[HostReport]:
        """The same without their bodies."""

    async def told_s(self, now: float) -> dict[str, float]:
        """How long ago each host's report was told, in seconds, as `report` counts: for people.

        Without those that an earlier version told.
        """

    async def take_machines(self, life: str, machines: Collection[str]) -> list[str]:
        """Let a life keep the ledgers of machines (UUIDs): those that it keeps then. Others that live keep theirs."""

    async def leave_machines(self, life: str, machines: Collection[str]) -> None:
        """Keep the ledgers of these no more. All that was seen of them is written."""


class Joining(Protocol):
    """Controllers of other machines that are let into hosts."""

    async def invite(self, invitation: Invitation, entry: Entry) -> None:
        """Keep an invitation, with the entry that tells of it."""

    async def join(self, hash: str, key: ControllerKey, now: float, entry: Entry) -> bool:
        """Use the invitation of that hash up for a controller's key; whether that was done now, or it had joined.

        Raises NotAllowed where there is none, or it is over.
        """


class Store(Records, VMs, Uploads, History, Users, Audit, Replicas, Watching, Joining, Protocol):
    """The whole registry."""

    trouble: str  # why it takes nothing just now, while somebody waits for it: in words

    @property
    def writes(self) -> int:
        """So often was it written here, at most: what was read at another count may have changed since."""

    @property
    def ledger(self) -> Ledger:
        """The part that remembers processes."""

    async def patiently(
        self, write: Callable[[], Awaitable[Done]], written: Callable[[], Awaitable[Done | None]] | None = None
    ) -> Done:
        """Write; try again for a while where the registry takes nothing: its disk is full, or somebody holds it.

        `written` is asked before each further try: what an earlier one wrote whose answer was lost; None: nothing.
        """

    async def close(self) -> None:
        """Let go of it."""
