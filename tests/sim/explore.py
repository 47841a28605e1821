"""Stories composed by a seed; one that ends in an untruth is made as short as it can be."""

from __future__ import annotations

import random

from tests.sim.guest import AGENTS
from tests.sim.story import Telling, tell

HOSTS = ("kvm1", "kvm2", "kvm3")
NAMES = ("web1", "web2", "web3")
# What is done, and how often; {vm} and {host} are drawn.
DEEDS: tuple[tuple[str, int], ...] = (
    ("create {vm}", 6),
    ("start {vm}", 4),
    ("start {vm} {host}", 2),
    ("stop {vm}", 3),
    ("stop {vm} force", 2),
    ("migrate {vm}", 6),
    ("migrate {vm} {host}", 3),
    ("migrate {vm} cold", 3),
    ("delete {vm}", 2),
    ("reboot {vm}", 2),
    ("pause {vm}", 1),
    ("resume {vm}", 1),
    ("drain {host}", 2),
    ("undrain {host}", 2),
    ("rebalance", 2),
    ("treat {vm} reset", 1),
    ("join {host}", 1),
    ("leave {host} force", 1),
    ("check {host}", 1),
    ("image big", 1),
    ("unimage big", 1),
    ("cancel", 2),
    ("wait {short}", 10),
    ("wait {long}", 4),
    ("then", 3),
)
FAULTS: tuple[tuple[str, int], ...] = (
    ("kill", 3),
    ("killed at {number}", 6),
    ("deposed at {number}", 4),
    ("commit {number} {answer}", 3),
    ("controller", 5),
    ("cut {host}", 2),
    ("heal {host}", 4),
    ("freeze {host}", 2),
    ("thaw {host}", 4),
    ("off {host}", 1),
    ("on {host}", 3),
    ("unmount {host}", 1),
    ("mount {host}", 2),
    ("fate {any} {call} {kind}", 6),
    ("guest {vm} ends", 1),
    ("guest {vm} deaf", 1),
    ("guest {vm} obeys", 1),
    ("agent {vm} {health}", 3),
    ("virsh {host} destroy {vm}", 1),
    ("virsh {host} suspend {vm}", 1),
)
CALLS = (
    *("create", "destroy", "shutdown", "migrate", "finish", "domain", "domains", "shown", "resume", "job", "offer"),
    *("create_volume", "delete_volume", "has_volume", "upload", "abort_job", "suspend", "run", "sample", "*"),
)
KINDS = ("unsent", "unanswered", "late", "refused")


# What is tried at one place of one deed, again and again: {deed} is under way, and then ...
PLOTS: tuple[tuple[str, ...], ...] = (
    ("{deed}", "killed at {number}", "wait 5", "controller", "then", "{deed}", "then"),
    ("{deed}", "killed at {number}", "wait 5", "killed at {number}", "wait 5", "controller", "then"),
    ("fate {any} {call} {kind}", "{deed}", "then", "{deed}", "then"),
    ("fate {any} {call} {kind}", "{deed}", "killed at {number}", "wait 5", "controller", "then", "{deed}"),
    ("{deed}", "wait {moment}", "cut {host}", "wait {long}", "{deed}", "wait {long}", "heal {host}", "then", "{deed}"),
    ("cut {host}", "wait {long}", "{deed}", "wait {long}", "{deed}", "heal {host}", "then"),
    ("{deed}", "wait {moment}", "freeze {host}", "wait {long}", "{deed}", "wait {long}", "thaw {host}", "then"),
    ("freeze {host}", "{deed}", "wait {long}", "kill", "controller", "{deed}", "wait {long}", "thaw {host}"),
    ("{deed}", "wait {moment}", "off {host}", "wait {long}", "{deed}", "on {host}", "wait {long}", "{deed}", "then"),
    ("off {host}", "wait {moment}", "on {host}", "wait 60", "{deed}", "then"),
    ("{deed}", "wait {moment}", "{deed}", "wait {moment}", "{deed}", "then"),
    ("guest {vm} deaf", "{deed}", "wait {long}", "cancel", "{deed}", "guest {vm} obeys", "then"),
    ("unmount {host}", "{deed}", "then", "{deed}", "mount {host}", "then"),
    ("kill", "wait {moment}", "virsh {host} destroy {vm}", "controller", "wait {long}", "{deed}", "then"),
    ("stop {vm}", "then", "cut {host}", "wait {long}", "start {vm}", "wait {long}", "start {vm}", "then"),
    ("migrate {vm}", "wait {moment}", "fate {any} finish unanswered", "then", "{deed}", "then"),
    ("stop {vm}", "wait {moment}", "virsh {host} destroy {vm}", "start {vm}", "wait {moment}", "delete {vm}", "then"),
    ("create web2", "then", "{deed}", "wait {moment}", "{deed}", "drain {host}", "wait {moment}", "{deed}", "then"),
    ("create web2", "create web3", "then", "migrate web1", "migrate web2", "migrate web3", "then", "rebalance", "then"),
    (
        "create web2 1200",
        "wait {moment}",
        "create web3 1200",
        "start web1",
        "migrate web1",
        "then",
        "drain kvm2",
        "then",
    ),
    ("{deed}", "killed at {number}", "virsh {host} destroy {vm}", "wait 5", "controller", "then", "{deed}", "then"),
    ("create web2 1024 kvm1", "then", "migrate web1", "migrate web2", "then"),
    ("create web2 1024 kvm1", "then", "drain kvm1", "wait {moment}", "{deed}", "then", "{deed}", "then"),
    ("move {vm} kvm2", "wait {moment}", "{deed}", "then", "wait 20", "{deed}", "then"),
    ("kill", "move {vm} kvm2", "wait 5", "controller", "wait {moment}", "{deed}", "then"),
    ("stop {vm}", "then", "lose key {vm}", "start {vm}", "then"),
    ("lose key {vm}", "migrate {vm} cold", "then", "{deed}", "then"),
    ("{deed}", "wait {moment}", "full", "wait {long}", "free", "then", "{deed}", "then"),
    ("full", "{deed}", "wait {moment}", "kill", "controller", "wait {long}", "free", "{deed}", "then"),
    ("{deed}", "deposed at {number}", "wait 5", "{deed}", "then", "{deed}", "then"),
    ("{deed}", "deposed at {number}", "wait 5", "killed at {number}", "wait 5", "controller", "then", "{deed}", "then"),
    ("{deed}", "wait {moment}", "deposed at {number}", "cut {host}", "wait {long}", "{deed}", "heal {host}", "then"),
    ("commit {number} {answer}", "{deed}", "then", "{deed}", "then"),
    ("commit {number} {answer}", "{deed}", "killed at {number}", "wait 5", "controller", "then", "{deed}", "then"),
    ("agent {vm} well", "treat {vm} reset", "wait 30", "agent {vm} {health}", "wait 400", "{deed}", "then", "{deed}"),
    ("agent {vm} hung", "treat {vm} reset", "wait 290", "{deed}", "wait {moment}", "killed at {number}", "controller"),
    ("machine kvm4", "join kvm4", "wait {moment}", "{deed}", "killed at {number}", "controller", "then", "{deed}"),
    ("machine kvm4", "fate {any} {call} {kind}", "join kvm4", "then", "create web3 1024 kvm4", "leave kvm4", "then"),
    ("leave {host} force", "then", "{deed}", "then", "join {host}", "then", "{deed}", "then"),
    ("image big", "killed at {number}", "wait 5", "controller", "then", "unimage big", "then"),
    ("storage two /two", "killed at {number}", "wait 5", "controller", "then", "forget two", "then"),
    ("stranger {host} old1", "wait {long}", "migrate old1 cold", "then", "stop old1", "then", "start old1", "then"),
)


def compose(seed: int) -> list[str]:
    """The story of a seed: a VM, then plots, or deeds and faults as they come."""
    draw = random.Random(seed)
    lines = ["lawless"] if draw.random() < 0.5 else []
    lines += ["create web1", "then"] if draw.random() < 0.85 else []
    if draw.random() < 0.6:
        for _ in range(draw.randint(1, 2)):
            lines += [_drawn(draw, line) for line in draw.choice(PLOTS)]
        return lines
    faulty = draw.choice((0.0, 0.3, 0.5))
    for _ in range(draw.randint(3, 14)):
        table = FAULTS if draw.random() < faulty else DEEDS
        lines.append(_drawn(draw, _weighed(draw, table)))
        if draw.random() < 0.5:
            lines.append(f"wait {_moment(draw)}")
    return lines


# What befalls one of several controllers, and how often.
AMONG: tuple[tuple[str, int], ...] = (
    ("dies {which}", 4),
    ("freezes {which}", 4),
    ("thaws", 4),
    ("severed {which}", 3),
    ("joined", 3),
    ("drains {which}", 2),
    ("undrains", 1),
    ("controller", 5),
    ("commit {number} {answer}", 3),
    ("fate registry {commit} {answer}", 2),
    ("wait {long}", 4),
)
AMONG_PLOTS: tuple[tuple[str, ...], ...] = (
    ("{deed}", "wait {moment}", "dies leader", "wait {long}", "{deed}", "controller", "then"),
    ("{deed}", "wait {moment}", "freezes leader", "wait {long}", "{deed}", "wait {moment}", "thaws", "then"),
    ("{deed}", "wait {moment}", "severed leader", "wait {long}", "{deed}", "wait {moment}", "joined", "then"),
    ("{deed}", "killed at {number}", "wait {long}", "{deed}", "killed at {number}", "wait {long}", "controller"),
    ("cut {host}", "{deed}", "wait {moment}", "freezes leader", "wait 20", "heal {host}", "wait {moment}", "thaws"),
    ("freeze {host}", "{deed}", "wait {moment}", "dies leader", "wait 20", "thaw {host}", "{deed}", "then"),
    ("fate {any} {call} late", "{deed}", "wait {moment}", "freezes leader", "wait {long}", "thaws", "{deed}", "then"),
    ("{deed}", "wait {moment}", "freezes leader", "wait 5.{moments}", "thaws", "wait {moment}", "{deed}", "then"),
    ("{deed}", "wait {moment}", "severed leader", "wait 4.{moments}", "joined", "{deed}", "then"),
    ("dies other", "{deed}", "wait {moment}", "dies leader", "wait {moment}", "controller", "wait 20", "{deed}"),
    ("{deed}", "full", "wait {long}", "dies leader", "wait {long}", "free", "controller", "then"),
    ("commit {number} unanswered", "{deed}", "wait {moment}", "dies leader", "wait 20", "{deed}", "controller"),
    ("move {vm} kvm2", "wait {moment}", "dies leader", "wait {long}", "{deed}", "controller", "then"),
    # A call of the one before is on its way to a host while its successor has looked there, and acts.
    (
        *("stop {vm} force", "then", "fate * create late", "start {vm}", "wait 0.{moments}", "{ends}", "wait 1{digit}"),
        *("stop {vm} force", "wait 3", "start {vm} {host}", "wait 40", "{goes_on}", "then"),
    ),
    (
        *("fate * {call} late", "migrate {vm} {host}", "wait 0.{moments}", "{ends}", "wait 1{digit}", "{deed}"),
        *("wait 3", "{deed}", "wait 40", "{goes_on}", "then"),
    ),
    ("{deed}", "wait {moment}", "drains leader", "{deed}", "wait {long}", "{deed}", "undrains", "then"),
    ("{deed}", "drains leader", "wait {moment}", "{deed}", "undrains", "wait {long}", "{deed}", "then"),
    ("{deed}", "drains leader", "wait {moment}", "{deed}", "{ends}", "wait {long}", "{goes_on}", "{deed}", "then"),
    ("create web2", "then", "drain {host}", "wait {moment}", "drains leader", "wait {long}", "{deed}", "undrains"),
    ("off {host}", "wait {moment}", "dies leader", "wait 20", "on {host}", "{deed}", "then", "controller"),
    ("agent {vm} hung", "treat {vm} reset", "wait 290", "freezes leader", "wait {long}", "thaws", "wait 60", "{deed}"),
)
COMMITS = (
    *("lead", "bury", "beat", "keep_session", "share_out", "report", "take_machines", "end_task", "accept", "claim"),
)


def compose_among(seed: int) -> list[str]:
    """The story of a seed with several controllers."""
    draw = random.Random(f"among {seed}")
    lines = [f"controllers {draw.choice((2, 3, 3))}", *(["lawless"] if draw.random() < 0.5 else [])]
    lines += ["create web1", "then"] if draw.random() < 0.9 else []
    if draw.random() < 0.6:
        for _ in range(draw.randint(1, 2)):
            lines += [_drawn(draw, line) for line in draw.choice(AMONG_PLOTS)]
        return _knowable(lines)
    for _ in range(draw.randint(4, 14)):
        table = draw.choices((DEEDS, AMONG, FAULTS[5:]), (5, 4, 1))[0]
        lines.append(_drawn(draw, _weighed(draw, table)))
        if draw.random() < 0.5:
            lines.append(f"wait {_moment(draw)}")
    return _knowable(lines)


def _knowable(lines: list[str]) -> list[str]:
    """Without moves by hand to a host that has left the pool: where nobody listens then, nobody can ever know of it."""
    kept, gone = list[str](), set[str]()
    for line in lines:
        deed, *words = line.split()
        if deed == "leave":
            gone.add(words[0])
        if deed == "join":
            gone.discard(words[0])
        if deed != "move" or words[-1] not in gone:
            kept.append(line)
    return kept


def _weighed(draw: random.Random, table: tuple[tuple[str, int], ...]) -> str:
    return draw.choices([text for text, _ in table], [weight for _, weight in table])[0]


def _moment(draw: random.Random) -> str:
    return f"{draw.choice((0.002, 0.01, 0.05, 0.2, 1.0)) * draw.uniform(0.5, 1.5):.3f}"


def _drawn(draw: random.Random, line: str) -> str:
    """A line with what it leaves open."""
    if line == "{deed}":
        line = _weighed(draw, DEEDS[:-4])
    return line.format(
        vm=draw.choices(NAMES, (16, 3, 1))[0],
        host=draw.choices(HOSTS, (4, 2, 1))[0],  # the first VM is made on kvm1
        any=draw.choice((*HOSTS, "*", "*")),
        short=round(draw.uniform(0.01, 2.0), 2),
        long=draw.choice((5, 20, 60)),
        moment=_moment(draw),
        moments=draw.randint(0, 999),
        digit=draw.randint(0, 9),
        ends=draw.choice(("freezes leader", "severed leader", "dies leader")),
        goes_on=draw.choice(("thaws", "joined", "controller")),
        which=draw.choice(("leader", "leader", "other", "a", "b")),
        commit=draw.choice(COMMITS),
        number=draw.randint(1, 150),
        call=draw.choice(CALLS),
        kind=draw.choice(KINDS),
        answer=draw.choice(("refused", "unanswered")),
        health=draw.choice(AGENTS),
    )


def untrue(lines: list[str], seed: int) -> list[str]:
    """What is untrue at the end of a story; also what broke in it."""
    return told(lines, seed).untrue


def told(lines: list[str], seed: int) -> Telling:
    """What came of a story; a story that broke is untrue."""
    try:
        return tell(lines, seed)
    except Exception as err:
        return Telling([f"{type(err).__name__}: {err}"], [], 0.0, 0, 0)


def shorten(lines: list[str], seed: int) -> list[str]:
    """The same story without the lines that it does not need to end in an untruth."""
    kept = 1 if lines[0].startswith("controllers ") else 0
    size = max(1, len(lines) // 2)
    while True:
        for first in range(kept, len(lines), size):
            less = lines[:first] + lines[first + size :]
            if untrue(less, seed):
                lines = less
                break
        else:
            if size == 1:
                return lines
            size = max(1, size // 2)
