"""Who may do what: default deny, nothing falls through, and nobody gives more than he has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmctl.decide.access import explain, permissions, principal, wider
from vmctl.model.access import Access, Grant, Group, Role, Token, User
from vmctl.model.rights import BUILT_IN, CLUSTER, ONLY_EVERYWHERE, Permission, Principal, Right, Sight, Thing

BLUE, RED = Thing("blue", "u1"), Thing("red", "u2")
ANNA = Access(
    users={"anna": User("anna", 1.0), "ben": User("ben", 1.0)},
    groups={"ops": Group("ops", 1.0, ["anna"])},
    roles={"restarter": Role("restarter", 1.0, ["vm.power", "no such permission"])},
    grants=(
        Grant("user:anna", "creator", "project:blue", 1.0),
        Grant("group:ops", "restarter", "vm:u2", 1.0),
        Grant("user:ben", "admin", "project:blue", 1.0),
    ),
)


def test_who_was_granted_nothing_may_nothing() -> None:
    nobody = principal(ANNA, "carl")
    assert not any(nobody.may(one, thing) for one in Permission for thing in (CLUSTER, BLUE, RED))
    assert nobody.sight == Sight() and not nobody.sight.shows(CLUSTER) and not nobody.sight.shows(BLUE)
    assert explain(nobody, Permission.LOOK, BLUE) == (False, "carl was granted nothing")


def test_a_right_holds_where_it_was_given() -> None:
    anna = principal(ANNA, "anna")
    assert anna.may(Permission.DELETE, BLUE) and not anna.may(Permission.DELETE, RED)
    assert anna.may(Permission.POWER, RED), "by her group, on that VM alone"
    assert not anna.may(Permission.POWER, Thing("red", "u3")) and not anna.may(Permission.LOOK)
    assert anna.sight == Sight(projects=frozenset({"blue"}))
    assert explain(anna, Permission.POWER, RED) == (True, "group:ops has role restarter on vm:u2")
    assert explain(anna, Permission.DELETE, RED) == (False, "anna has vm.delete on project:blue, not on vm:u2")
    assert "no role of anna has hosts" in explain(anna, Permission.HOSTS, CLUSTER)[1]


@pytest.mark.parametrize("permission", sorted(ONLY_EVERYWHERE))
def test_what_reaches_beyond_a_project_is_given_on_everything_only(permission: Permission) -> None:
    ben = principal(ANNA, "ben")
    assert not any(ben.may(permission, thing) for thing in (BLUE, RED, CLUSTER))
    assert "holds on everything only" in explain(ben, permission, BLUE)[1]
    assert Principal("root", (Right(BUILT_IN["admin"]),)).may(permission, BLUE)


def test_a_token_narrows_its_owner_and_never_widens_him() -> None:
    token = Token("t", "anna", "", 1.0, 2.0, role="viewer", scope="")
    anna = principal(ANNA, "anna", token)
    assert anna.may(Permission.LOOK, BLUE) and not anna.may(Permission.DELETE, BLUE)
    assert not anna.may(Permission.LOOK, RED), "she may not herself, whatever her token says"
    assert anna.sight == Sight(projects=frozenset({"blue"}))
    assert explain(anna, Permission.DELETE, BLUE) == (False, "anna may, and this token may not")
    wide = principal(ANNA, "anna", replace(token, role="admin"))
    assert not wide.may(Permission.HOSTS) and not wide.may(Permission.SIGN, BLUE)
    elsewhere = principal(ANNA, "anna", replace(token, scope="project:red"))
    assert not elsewhere.may(Permission.LOOK, BLUE) and elsewhere.sight == Sight()


def test_a_role_that_is_gone_gives_nothing() -> None:
    gone = replace(ANNA, roles={})
    assert not principal(gone, "anna").may(Permission.POWER, RED)
    assert permissions(gone, "restarter") == frozenset() and permissions(ANNA, "restarter") == {Permission.POWER}
    token = Token("t", "anna", "", 1.0, 2.0, role="restarter")
    assert not principal(gone, "anna", token).may(Permission.LOOK, BLUE), "narrowed to nothing, and not to all"


def test_nobody_gives_more_than_he_has() -> None:
    manager = Principal("manager", (Right(frozenset((Permission.USERS, Permission.LOOK))),))
    assert wider(manager, BUILT_IN["viewer"], "all", CLUSTER) is None
    assert wider(manager, BUILT_IN["operator"], "project:blue", Thing("blue")) is Permission.CANCEL
    root = Principal("root", (Right(BUILT_IN["admin"]),))
    assert wider(root, BUILT_IN["admin"], "project:blue", Thing("blue")) is None


def test_a_thing_is_reached_by_its_own_scopes_alone() -> None:
    assert CLUSTER.scopes == ("all",)
    assert BLUE.scopes == ("all", "project:blue", "vm:u1")
    assert Sight(vms=frozenset({""})).shows(CLUSTER) is False, "what has no VM is no VM"
