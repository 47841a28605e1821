"""hbal's plans, kept between runs: on large clusters it needs minutes to hours, and always answers the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tests.bench.planner.ganeti_tools import Balanced, hbal
from vmctl.formats import ganeti
from vmctl.model.cluster import Cluster
from vmctl.model.plans import Move
from vmctl.model.policy import Policy


def balanced(
    cluster: Cluster, policy: Policy, folder: Path | None, most: int | None = None, limit_s: float = 3600.0
) -> Balanced:
    """hbal's plan, from the folder if it was made for exactly these files and this limit."""
    if folder is None:
        return hbal(cluster, policy, most, limit_s)
    given = "\0".join((*ganeti.write(cluster, policy), str(most)))
    path = folder / f"hbal-{hashlib.sha256(given.encode()).hexdigest()[:16]}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        return Balanced(**(kept | {"moves": tuple(Move(**move) for move in kept["moves"])}))
    found = hbal(cluster, policy, most, limit_s)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(found)))
    return found
