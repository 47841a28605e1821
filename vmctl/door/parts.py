"""What answers commands and queries: the controller's parts. Passed, never global."""

from __future__ import annotations

from dataclasses import dataclass

from vmctl.act.health import HealthMonitor
from vmctl.act.hosts import Attach
from vmctl.cluster.schedules import Scheduler
from vmctl.services import Services
from vmctl.tasks import Tasks


@dataclass(frozen=True, slots=True)
class ControllerParts:
    """One controller's parts."""

    services: Services
    tasks: Tasks
    attach: Attach  # begins the lasting link to a registered host
    health_monitor: HealthMonitor
    scheduler: Scheduler
