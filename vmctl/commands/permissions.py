"""What somebody may do, and who asks. Pure.

Denied is what is not granted: a principal has the permissions that it lists, and no rule adds any.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """One kind of thing that somebody may be allowed to do."""

    LOOK = "look"  # at hosts, VMs, tasks, events, plans
    CREATE = "vm.create"
    DELETE = "vm.delete"
    POWER = "vm.power"  # start, stop, pause, reset
    MOVE = "vm.move"
    SET = "vm.set"  # what a VM is meant to be: started again, healed
    CONSOLE = "vm.console"
    SIGN = "vm.sign"  # that it runs nowhere, where its host cannot say so: two copies may start on a wrong word
    HOSTS = "hosts"
    STORAGES = "storages"
    IMAGES = "images"
    PLAN = "plan"  # rebalance, drain: moves of whatever VMs
    CANCEL = "task.cancel"
    SCHEDULES = "schedules"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name that tasks, decisions and events carry, and what it may do."""

    name: str
    may: frozenset[Permission] = frozenset()


# Whoever may open the controller's socket: it is root's, and whoever has it is root on every host.
LOCAL_USER = Principal("local user", frozenset(Permission))
# The controller's own initiative, by what gave rise to it; nobody is asked for that, so nothing is granted.
SCHEDULE = Principal("schedule")
HEALTH = Principal("health")
AUTOSTART = Principal("autostart")
LEASE_GUARD = Principal("lease guard")
