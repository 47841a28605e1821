"""What answers commands and queries: the controller's parts. Passed, never global."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.act.health import Healths
from vmctl.act.hosts import Hosts
from vmctl.act.plans import Plans
from vmctl.schedules import Scheduler
from vmctl.tasks import Tasks
from vmctl.world import World


@dataclass(frozen=True, slots=True)
class Services:
    """One controller's parts."""

    world: World
    tasks: Tasks
    hosts: Hosts
    plans: Plans
    healths: Healths
    scheduler: Scheduler
