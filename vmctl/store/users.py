"""Users, groups, projects, roles, grants and tokens in the SQL registry. What each method promises is in its port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from sqlmodel import col

from vmctl.model.access import Access, Failures, Grant, Group, Limit, Project, Role, Token, Use, User, group, user
from vmctl.model.records import Image, Task, VMRecord
from vmctl.model.rights import BUILT_IN, project
from vmctl.model.uploads import Upload
from vmctl.model.vms import DEFAULT_PROJECT
from vmctl.store import access_rules, limit_rules, rows, rules
from vmctl.store.database import Database, reading, writing
from vmctl.store.statements import is_key, locked, read_all, whole
from vmctl.store.tables import (
    FailuresRow,
    GivenRow,
    GrantRow,
    GroupRow,
    ImageRow,
    LimitRow,
    ProjectRow,
    RoleRow,
    TaskRow,
    TokenRow,
    UploadRow,
    UserRow,
    VMRow,
)


class SqlUsers:
    """The part of the SQL registry that knows who there is."""

    database: Database

    @reading
    def access(self, db: Session) -> Access:
        return _access(db)

    @writing
    def add_grant(self, db: Session, grant: Grant) -> None:
        kind, _, name = grant.scope.partition(":")
        vms = read_all(db, VMRecord, col(VMRow.uuid) == name, locked=True) if kind == "vm" else []
        access_rules.check_grant(grant, _access(db, locked=True), BUILT_IN, {vm.uuid for vm in vms})
        row: Any = rows.to_row(GrantRow, grant)
        row.id = None
        db.add(row)

    @writing
    def remove_grant(self, db: Session, who: str, role: str, scope: str) -> None:
        same = (col(GrantRow.who) == who) & (col(GrantRow.role) == role) & (col(GrantRow.scope) == scope)
        if db.execute(delete(GrantRow).where(same)).rowcount != 1:  # type: ignore[attr-defined]
            raise rules.missing("grant", f"{who} {role} on {scope}")

    @writing
    def add_token(self, db: Session, token: Token) -> None:
        _there(db, User, token.user)
        db.add(rows.to_row(TokenRow, token))

    @writing
    def move_vm(self, db: Session, vm: str, project: str, check: Callable[[Any], None] | None = None) -> None:
        in_project(db, project)
        # Held before the VM is: whoever makes one holds them in this order, too.
        limits = limits_of(db, limit_rules.whose("", project))
        found = locked(db, VMRecord, vm)
        if found is None:
            raise rules.missing("VM", vm)
        if check is not None:
            check(found)
        if found.project != project:
            limit_rules.check(limits, limit_rules.of_vm(found), lambda of: _use(db, of))
        db.execute(update(VMRow).where(is_key(VMRecord, vm)).values(project=project))

    @writing
    def set_limit(self, db: Session, of: str, change: Callable[[Limit], Limit]) -> Limit:
        kind, _, name = of.partition(":")
        if kind == "user":
            _there(db, User, name)
        else:
            in_project(db, name)
        after = change(locked(db, Limit, of) or Limit(of))
        if limit_rules.is_empty(after):
            db.execute(delete(LimitRow).where(is_key(Limit, of)))
        else:  # the same row all the time: whoever waits for it must not find it gone
            db.execute(rows.upsert(self.database.engine, LimitRow), rows.named(rows.to_row(LimitRow, after)))
        return after

    @writing
    def end_tokens(self, db: Session, user: str) -> None:
        db.execute(delete(TokenRow).where(col(TokenRow.user) == user))

    @writing
    def count_failure(self, db: Session, of: Iterable[str], now: float) -> None:
        of = sorted(of)
        begun = rows.insert_into(self.database.engine)(FailuresRow).on_conflict_do_nothing()
        db.execute(begun, [rows.named(rows.to_row(FailuresRow, Failures(one, now))) for one in of])
        for one in of:
            after = access_rules.one_more(locked(db, Failures, one), one, now)
            db.execute(update(FailuresRow).where(is_key(Failures, one)).values(since=after.since, count=after.count))

    @reading
    def failures(self, db: Session, of: Iterable[str], now: float) -> float:
        return access_rules.wait_s(read_all(db, Failures, col(FailuresRow.of).in_(list(of))), now)

    @writing
    def remove_user(self, db: Session, name: str) -> None:
        _there(db, User, name)
        for one in read_all(db, Group, locked=True):
            if name in one.members:
                members = [member for member in one.members if member != name]
                db.execute(update(GroupRow).where(is_key(Group, one.name)).values(members=members))
        db.execute(delete(GrantRow).where(col(GrantRow.who) == user(name)))
        db.execute(delete(TokenRow).where(col(TokenRow.user) == name))
        db.execute(delete(LimitRow).where(is_key(Limit, user(name))))
        db.execute(delete(GivenRow).where(col(GivenRow.who) == name))
        db.execute(delete(UserRow).where(is_key(User, name)))

    @writing
    def remove_group(self, db: Session, name: str) -> None:
        _there(db, Group, name)
        db.execute(delete(GrantRow).where(col(GrantRow.who) == group(name)))
        db.execute(delete(GroupRow).where(is_key(Group, name)))

    @writing
    def remove_project(self, db: Session, name: str) -> None:
        _there(db, Project, name)  # held: nothing comes into it meanwhile
        access_rules.check_empty_project(name, read_all(db, VMRecord), read_all(db, Image), read_all(db, Upload))
        end_grants(db, project(name))
        db.execute(delete(LimitRow).where(is_key(Limit, project(name))))
        db.execute(delete(ProjectRow).where(is_key(Project, name)))

    @writing
    def remove_role(self, db: Session, name: str) -> None:
        _there(db, Role, name)
        access_rules.check_role_unused(name, _access(db, locked=True))
        db.execute(delete(RoleRow).where(is_key(Role, name)))


def end_grants(db: Session, scope: str) -> None:
    """Forget the grants on what is gone."""
    db.execute(delete(GrantRow).where(col(GrantRow.scope) == scope))


def in_project(db: Session, name: str) -> None:
    """What comes into a project: it must be there, and stay until this is written. Raises NotFound."""
    if name != DEFAULT_PROJECT:
        _there(db, Project, name)


def limits_of(db: Session, of: Iterable[str]) -> list[Limit]:
    """The limits of some users and projects, held until what counts to them is written."""
    return read_all(db, Limit, col(LimitRow.of).in_(list(of)), locked=True)


def within(db: Session, of: Iterable[str], wanted: Use) -> None:
    """What is promised to some users and projects: their limits are held until it is written. Raises OverLimit."""
    limits = limits_of(db, of)
    limit_rules.check(limits, wanted, lambda one: _use(db, one))


def _use(db: Session, of: str) -> Use:
    kind, _, name = of.partition(":")
    of_user = kind == "user"
    vms = read_all(db, VMRecord, col(VMRow.owner if of_user else VMRow.project) == name)
    images = [] if of_user else read_all(db, Image, col(ImageRow.project) == name)
    uploads = [] if of_user else read_all(db, Upload, col(UploadRow.project) == name)
    open_ = col(TaskRow.state).in_([str(state) for state in rules.OPEN])
    tasks = read_all(db, Task, open_, col(TaskRow.who if of_user else TaskRow.project) == name)
    return limit_rules.used(of, vms, images, uploads, tasks)


def _there(db: Session, kind: type[Any], name: str) -> None:
    if locked(db, kind, name) is None:
        raise rules.missing(rules.WORDS[kind], name)


def _access(db: Session, *, locked: bool = False) -> Access:
    return access_rules.access_of(lambda kind: whole(db, kind) if locked else read_all(db, kind))
