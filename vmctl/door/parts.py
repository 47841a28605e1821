"""What answers commands and queries: the controller's parts. Passed, never global."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmctl.act.health import HealthMonitor
from vmctl.act.hosts import Attach
from vmctl.cluster.schedules import Scheduler
from vmctl.door.others import Others
from vmctl.door.pages import Pages
from vmctl.door.receiving import Pieces
from vmctl.model.rights import ALL, LOCAL_USER, Principal, Sight
from vmctl.services import Services
from vmctl.services.known import Known
from vmctl.services.meters import Meters
from vmctl.tasks import Tasks


@dataclass(frozen=True, slots=True)
class ControllerParts:
    """One controller's parts."""

    services: Services
    tasks: Tasks
    attach: Attach  # begins the lasting link to a registered host
    health_monitor: HealthMonitor
    scheduler: Scheduler
    known: Known
    meters: Meters
    others: Others = field(default_factory=Others)  # the other controllers, for what only they know
    pages: Pages = field(default_factory=Pages)  # that were asked for just now
    pieces: Pieces = field(default_factory=Pieces)  # that are being received
    who: Principal = LOCAL_USER  # who asks
    sight: Sight = ALL  # what he may see
    expected: str = ""  # the version that he edits; empty: whichever there is
