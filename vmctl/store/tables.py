"""The registry's tables. Rows never leave `store/`: everything above speaks in `model`'s values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    String,
    UniqueConstraint,
    false,
    true,
)
from sqlmodel import Field

from vmctl.model.replicas import ROLES
from vmctl.store.base import Base as Base
from vmctl.store.joining_tables import ControllerKeyRow as ControllerKeyRow
from vmctl.store.joining_tables import InvitationRow as InvitationRow
from vmctl.store.ledger_tables import IncarnationRow as IncarnationRow
from vmctl.store.ledger_tables import ListeningRow as ListeningRow
from vmctl.store.ledger_tables import MachineRunRow as MachineRunRow
from vmctl.store.ledger_tables import ProgramSummaryRow as ProgramSummaryRow
from vmctl.store.watching_tables import HostReportRow as HostReportRow
from vmctl.store.watching_tables import HostWatchRow as HostWatchRow
from vmctl.store.watching_tables import MachineReaderRow as MachineReaderRow


def _json(default: str, factory: Callable[[], Any]) -> Any:
    """A column of JSON that rows from before it have, too."""
    return Field(default_factory=factory, sa_column=Column(JSON, nullable=False, server_default=default))


def _text(default: str) -> Any:
    """A column of text that rows from before it have, too."""
    return Field(default=default, sa_column_kwargs={"server_default": default})


class HostRow(Base, table=True):
    """A registered host."""

    __tablename__ = "host"
    name: str = Field(primary_key=True)
    address: str
    port: int = 22
    ssh_user: str = "root"
    host_key: str
    fingerprint: str
    migration_address: str = ""
    draining: bool = False
    labels: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    about: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    boot_id: str = _text("")
    lost_at: float | None = None
    added_at: float


class StorageRow(Base, table=True):
    """A shared directory, and the hosts that were proven to share it."""

    __tablename__ = "storage"
    name: str = Field(primary_key=True)
    path: str
    lockspace: str = ""
    hosts: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    added_at: float


class ImageRow(Base, table=True):
    """A disk image, and a kernel with it where the guest is booted directly."""

    __tablename__ = "image"
    name: str = Field(primary_key=True)
    storage: str = Field(foreign_key="storage.name")
    path: str
    format: str = "qcow2"
    size_bytes: int = Field(default=0, sa_type=BigInteger)
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    project: str = _text("default")
    taken_bytes: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    added_at: float


class UploadRow(Base, table=True):
    """An image on its way onto a storage, how far it is, and the files that are its own."""

    __tablename__ = "upload"
    id: str = Field(primary_key=True)
    name: str
    storage: str = Field(foreign_key="storage.name")
    created_at: float
    changed_at: float
    sizes: dict[str, int] = Field(sa_column=Column(JSON, nullable=False))
    hashes: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    done: dict[str, int] = Field(sa_column=Column(JSON, nullable=False))
    pending: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    state: str
    made: list[str] = Field(sa_column=Column(JSON, nullable=False))
    maker: str
    unsure: bool
    kind: str
    cmdline: str
    project: str
    who: str


class VMRow(Base, table=True):
    """A VM: its specification, where it is, and the task that holds it."""

    __tablename__ = "vm"
    uuid: str = Field(primary_key=True)
    name: str = Field(unique=True)
    spec: str
    host: str = ""  # the lease: where it runs or is promised a place
    power: str = "stopped"
    why: str = ""
    epoch: int = 0  # counts the lease's changes: a writer with an old epoch is refused
    task: int | None = None
    adopted: bool = False
    definition: str = ""  # an adopted VM's own XML
    moved_at: float | None = None
    heal: str = _text("off")
    may_run_on: dict[str, str] = _json("{}", dict)
    wanted: str = _text("")
    autostart: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    restarts: list[float] = _json("[]", list)
    moving_to: str = _text("")
    copying: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    heals: list[float] = _json("[]", list)
    sick_since: float | None = None
    dirty_mib_s: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    transient: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    drift: list[dict[str, str]] = _json("[]", list)
    ended: list[Any] = _json("[]", list)
    read_at: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    files: list[str] = _json("[]", list)
    stuck: list[str] = _json("[]", list)
    stuck_cold: list[str] = _json("[]", list)
    project: str = _text("default")
    owner: str = _text("")
    disk_bytes: int | None = Field(default=None, sa_type=BigInteger)
    created_at: float


class TaskRow(Base, table=True):
    """An accepted command and what became of it."""

    __tablename__ = "task"
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    subject: str
    args: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    state: str = "queued"
    step: str = ""
    journal: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    result: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    error: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    log: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    who: str = ""
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    cancel_asked: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    project: str = _text("")
    vm: str = _text("")
    __table_args__ = (
        Index("ix_task_state", "state"),
        Index("ix_task_subject", "subject"),
        Index("ix_task_kind", "kind", "id"),
    )


class DecisionRow(Base, table=True):
    """What was decided, on what, and why."""

    __tablename__ = "decision"
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    subject: str
    host: str = ""
    why: str
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    who: str = ""
    made_at: float
    name: str = _text("")
    __table_args__ = (Index("ix_decision_subject_made_at", "subject", "made_at"),)


class EventRow(Base, table=True):
    """Something that happened, in one sentence."""

    __tablename__ = "event"
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    subject: str
    text: str
    at: float = Field(index=True)
    who: str = _text("")
    uuid: str = _text("")
    project: str = _text("")


class MeanRow(Base, table=True):
    """A mean of load over one minute or ten, of a host or a VM."""

    __tablename__ = "mean"
    subject: str = Field(primary_key=True)  # "host/kvm1" or "vm/UUID"
    period_s: int = Field(primary_key=True)
    at: float = Field(primary_key=True)
    values: dict[str, float] = Field(default_factory=dict, sa_column=Column("load", JSON, nullable=False))
    __table_args__ = (Index("ix_mean_period_s_at", "period_s", "at"),)


class ScheduleRow(Base, table=True):
    """Something done by the clock."""

    __tablename__ = "schedule"
    name: str = Field(primary_key=True)
    cron: str
    mode: str = "advise"
    last_run: float | None = None
    last_result: str = ""


class UserRow(Base, table=True):
    """Somebody who may log in."""

    __tablename__ = "account"  # "user" is a word of SQL
    name: str = Field(primary_key=True)
    password: str = ""
    disabled: bool = False
    created_at: float
    logins: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))


class GroupRow(Base, table=True):
    """Users who are granted the same."""

    __tablename__ = "account_group"
    name: str = Field(primary_key=True)
    members: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at: float


class ProjectRow(Base, table=True):
    """VMs and images that belong together."""

    __tablename__ = "project"
    name: str = Field(primary_key=True)
    about: str = ""
    created_at: float


class RoleRow(Base, table=True):
    """Permissions that are granted together."""

    __tablename__ = "role"
    name: str = Field(primary_key=True)
    permissions: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at: float


class GrantRow(Base, table=True):
    """A role that somebody has on something."""

    __tablename__ = "grant_of_role"
    id: int | None = Field(default=None, primary_key=True)
    who: str
    role: str
    scope: str
    at: float
    by: str = ""
    __table_args__ = (UniqueConstraint("who", "role", "scope"),)


class TokenRow(Base, table=True):
    """What stands for a user in a request."""

    __tablename__ = "token"
    id: str = Field(primary_key=True)
    user: str = Field(sa_column=Column("owner", String, nullable=False))
    hash: str
    created_at: float
    expires_at: float
    about: str = ""
    role: str = ""
    scope: str = ""


class LimitRow(Base, table=True):
    """How much a user or a project may have."""

    __tablename__ = "limit_of_use"
    of: str = Field(primary_key=True)
    vms: int | None = None
    vcpus: int | None = None
    mem_mib: int | None = Field(default=None, sa_type=BigInteger)
    disk_bytes: int | None = Field(default=None, sa_type=BigInteger)
    commands: int | None = None
    requests_per_s: float | None = None


class GivenRow(Base, table=True):
    """A command that was given with a key, so that it is not done twice."""

    __tablename__ = "given"
    key: str = Field(primary_key=True)
    hash: str
    at: float = Field(index=True)
    who: str = ""
    task: int | None = None
    done: bool = False
    answer: str = ""


class AuditRow(Base, table=True):
    """What somebody asked for and what became of it, bound to the entry before it. Only ever appended to."""

    __tablename__ = "audit"
    id: int = Field(primary_key=True)
    text: str
    hash: str


class FailuresRow(Base, table=True):
    """Log-ins that failed."""

    __tablename__ = "login_failure"
    of: str = Field(primary_key=True)
    since: float
    count: int


class ReplicaRow(Base, table=True):
    """One run of a controller."""

    __tablename__ = "replica"
    life: str = Field(primary_key=True)
    name: str
    home: str
    version: str
    started_at: float
    beat: int = Field(default=0, sa_type=BigInteger)
    beat_at: float = 0.0
    ended_at: float | None = None
    why: str = ""
    address: str = ""
    certificate: str = ""
    roles: str = Field(default=",".join(ROLES), sa_column_kwargs={"server_default": ",".join(ROLES)})
    draining: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    tables: str = Field(default="", sa_column_kwargs={"server_default": ""})
    boot_id: str = Field(default="", sa_column_kwargs={"server_default": ""})


class LeadRow(Base, table=True):
    """Which controller leads."""

    __tablename__ = "lead"
    name: str = Field(primary_key=True)
    life: str
    term: int = Field(sa_type=BigInteger)
    since: float


class SessionRow(Base, table=True):
    """A controller's log-in on a host."""

    __tablename__ = "session"
    host: str = Field(primary_key=True)
    boot_id: str = Field(primary_key=True)
    pid: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    ticks: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    life: str = Field(index=True)
    at: float


class SettingRow(Base, table=True):
    """One value that belongs to the whole cluster, such as its baseline CPU."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: str
