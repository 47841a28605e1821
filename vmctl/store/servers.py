"""The servers that a DSN names, each by itself. Pure."""

from __future__ import annotations

from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

EACH = ("host", "hostaddr", "port")  # what libpq takes as lists: one for each server, or one port for all


def one_each(conninfo: str) -> list[str]:
    """How each is reached alone, in their order; of one server the same alone."""
    given: dict[str, Any] = conninfo_to_dict(conninfo)
    lists = {key: str(given[key]).split(",") for key in EACH if given.get(key)}
    count = max((len(values) for values in lists.values()), default=1)
    return [
        make_conninfo(conninfo, **{key: values[at if len(values) > 1 else 0] for key, values in lists.items()})
        for at in range(count)
    ]
