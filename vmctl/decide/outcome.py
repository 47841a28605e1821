"""A migration has ended, well or not: what do both hosts show, and what follows?

libvirt's "failed" is no proof of failure (a lost reply leaves the VM running on the target) and its silence no proof
of anything, so both hosts are read and this table decides. Only a host that answered can be acted on, and a copy is
destroyed only when the other one is seen running or the copy never ran.
"""

from __future__ import annotations

from enum import StrEnum


class DomainPresence(StrEnum):
    """How one host shows the VM."""

    RUNNING = "running"
    PAUSED = "paused"
    GONE = "not there"
    SILENT = "no answer"


class Resolution(StrEnum):
    """What to do next; after an act both hosts are read again."""

    ON_TARGET = "the VM runs on the target"
    ON_SOURCE = "the VM runs on the source"
    DROP_TARGET = "destroy the half-made copy on the target"
    DROP_SOURCE = "destroy the left-over copy on the source"
    RESUME_SOURCE = "let the VM go on where it is"
    NOWHERE = "the VM runs nowhere"
    UNCERTAIN = "wait for a host to answer, and do nothing"
    ALARM = "both run: do nothing and call a human"


R, P, G, S = DomainPresence.RUNNING, DomainPresence.PAUSED, DomainPresence.GONE, DomainPresence.SILENT

# (source, target) -> act; the whole table, so that a missing case is a bug and not a guess
OUTCOMES: dict[tuple[DomainPresence, DomainPresence], Resolution] = {
    (R, R): Resolution.ALARM,
    (R, P): Resolution.DROP_TARGET,
    (R, G): Resolution.ON_SOURCE,
    (R, S): Resolution.ON_SOURCE,  # a source whose CPUs run holds the lease: the target's copy cannot have been started
    (P, R): Resolution.DROP_SOURCE,
    (P, P): Resolution.DROP_TARGET,  # neither was started: the source has the whole memory, the target perhaps not
    (P, G): Resolution.RESUME_SOURCE,
    (P, S): Resolution.UNCERTAIN,
    (G, R): Resolution.ON_TARGET,
    (G, P): Resolution.UNCERTAIN,  # libvirt on the target decides this within seconds
    (G, G): Resolution.NOWHERE,
    (G, S): Resolution.UNCERTAIN,
    (S, R): Resolution.ON_TARGET,  # the target's CPUs start only after the source has let go
    (S, P): Resolution.UNCERTAIN,
    (S, G): Resolution.UNCERTAIN,
    (S, S): Resolution.UNCERTAIN,
}


def resolve(source: DomainPresence, target: DomainPresence) -> Resolution:
    """What follows from what both hosts show."""
    return OUTCOMES[source, target]
