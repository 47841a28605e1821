"""What answers commands and queries: the controller's parts. Passed, never global."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.act.health import Healths
from vmctl.act.hosts import Attach
from vmctl.schedules import Scheduler
from vmctl.tasks import Tasks
from vmctl.world import World


@dataclass(frozen=True, slots=True)
class Services:
    """One controller's parts."""

    world: World
    tasks: Tasks
    attach: Attach  # begins the lasting link to a registered host
    healths: Healths
    scheduler: Scheduler
