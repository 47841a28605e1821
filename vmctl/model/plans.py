"""What is decided: where a VM may go, which moves are made, and why. Pure; units as `vmctl.model` says."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a VM may not run on a host: the rule that says no, and its numbers in words."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One host's part in a decision: refused with a reason, or a score with its terms (lower is better)."""

    host: str
    refusal: Refusal | None = None
    score: float = 0.0
    terms: tuple[tuple[str, float], ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a VM should go: the best host, every host's verdict (best first), and the sentence that says why."""

    vm: str
    host: str
    verdicts: tuple[Verdict, ...]
    why: str


@dataclass(frozen=True, slots=True)
class NoPlace:
    """No host can take the VM: each host's refusal."""

    vm: str
    verdicts: tuple[Verdict, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Move:
    """One VM from one host to another, and why."""

    vm: str
    source: str
    target: str
    why: str
    gain: float = 0.0  # how much it evens out, as a share of one host (the score's fall times the number of hosts)
    cost: float = 0.0  # its price in the same unit
    mem_mib: int = 0
    score: float = 0.0  # of the cluster after it
    wave: int = 1  # the moves of one wave share no host, and may go side by side once the waves before are done
    minutes: float = 0.0  # on the wire, as foreseen
    uuid: str = ""  # of the VM, whose name may be another one's one day


@dataclass(frozen=True, slots=True)
class Budget:
    """What is asked of a plan: how much it may take (infinite where nothing is said), and what for."""

    moves: float = inf
    gib: float = inf  # of memory over the wire
    minutes: float = inf  # on the wire, one after the other
    coolest: bool = False  # for the hottest host alone, however uneven the rest


@dataclass(frozen=True, slots=True)
class Plan:
    """Moves in order (every prefix is feasible), the score before and after, and one sentence."""

    moves: tuple[Move, ...]
    why: str
    before: tuple[tuple[str, float], ...] = ()
    after: tuple[tuple[str, float], ...] = ()
    stays: tuple[str, ...] = ()  # per host or VM: why nothing more moves
