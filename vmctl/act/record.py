"""Decisions for the registry: every placement and plan is kept with its inputs and their ages."""

from __future__ import annotations

from vmctl.formats.plain import plain
from vmctl.model.cluster import Cluster
from vmctl.model.decisions import inputs, placed
from vmctl.model.plans import NoPlace, Placement, Plan
from vmctl.model.records import DecisionRecord
from vmctl.model.vms import VM
from vmctl.services import Services
from vmctl.tasks import AnyJob


async def placement(
    services: Services, job: AnyJob, kind: str, vm: VM, found: Placement | NoPlace, cluster: Cluster, why: str = ""
) -> None:
    """Keep a placement, taken or refused, under the VM's UUID; `why`: the reason that a plan gave for it.

    It is kept with its task: what a task decided and did not do is no reason why a VM is where it is.
    """
    told = placed(found, cluster)
    detail = plain(told) | {"task": job.id}
    reason, now = why or found.why, services.clock.now()
    record = DecisionRecord(kind, vm.spec.uuid, reason, now, None, told.host, detail, job.task.who, vm.name)
    await services.store.add(record)


async def plan(services: Services, kind: str, subject: str, made: Plan, cluster: Cluster, who: str) -> None:
    """Keep a plan; each of its moves is a decision of its own once it is made, with the plan's reason."""
    now = services.clock.now()
    detail = plain(made) | {"inputs": plain(inputs(cluster))}
    await services.store.add(DecisionRecord(kind, subject, made.why, now, None, "", detail, who, subject))
