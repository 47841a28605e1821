"""The servers of a DSN, each by itself."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from vmctl.store.servers import one_each


@pytest.mark.parametrize(
    ("given", "each"),
    [
        ("postgresql://u@a/n", [("a", None)]),
        ("postgresql://u@/n", [(None, None)]),
        ("postgresql://u@a,b/n", [("a", None), ("b", None)]),
        ("postgresql://u@a:1,b:2/n", [("a", "1"), ("b", "2")]),
        ("host=a,b,c port=7 user=u dbname=n", [("a", "7"), ("b", "7"), ("c", "7")]),
        ("host=/x,/y user=u dbname=n", [("/x", None), ("/y", None)]),
    ],
)
def test_each_is_reached_alone(given: str, each: list[tuple[str | None, str | None]]) -> None:
    found = [conninfo_to_dict(one) for one in one_each(given)]
    assert [(one.get("host"), one.get("port") or None) for one in found] == each
    assert all((one["user"], one["dbname"]) == ("u", "n") for one in found)
