"""A whole controller, as `vmctl serve` is, but for libvirt: what a host's connection to that costs is not measured.

    python -m tests.bench.cluster.whole serve

Its folders and settings are the environment's, as always.
"""

from __future__ import annotations

import functools
import os

from tests.bench.cluster.replica import WatchingLink
from vmctl.cli.main import main
from vmctl.cluster import opening
from vmctl.services import Services

if __name__ == "__main__":
    WatchingLink.vms = int(os.environ["BENCH_VMS"])
    vars(opening)["Services"] = functools.partial(Services, make_link=WatchingLink)
    main()
