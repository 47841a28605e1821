"""`database` in a settings file: written whole, and nothing else of it changes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vmctl.errors import Refused, Usage
from vmctl.local.database import keep_database

DSN = 'postgresql://vmctl:se"cret@db1,db2/vmctl'


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\nsample_period_s = 10\n[policy]\nspare_host = true\n",
        'database = ""\n[policy]\nspare_host = true\n',
        "[policy]\nspare_host = true",
    ],
)
def test_it_is_written_and_all_else_stays(tmp_path: Path, before: str) -> None:
    file = tmp_path / "vmctl" / "vmctl.toml"
    if before:
        file.parent.mkdir()
        file.write_text(before)
    assert keep_database(file, DSN)
    assert tomllib.loads(file.read_text()) == tomllib.loads(before) | {"database": DSN}
    assert "# mine" not in before or "# mine" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not keep_database(file, DSN), "it is there already"
    assert [path.name for path in file.parent.iterdir()] == ["vmctl.toml"]


@pytest.mark.parametrize(
    ("before", "kind", "words"),
    [
        ('database = "postgresql://other/vmctl"\n', Refused, "names another database"),
        ("database = \n", Usage, "not valid TOML"),
        ('"database" = ""\n', Usage, "cannot be changed by itself"),
    ],
)
def test_what_cannot_be_written_stays_as_it_is(tmp_path: Path, before: str, kind: type[Exception], words: str) -> None:
    file = tmp_path / "vmctl.toml"
    file.write_text(before)
    with pytest.raises(kind, match=words):
        keep_database(file, DSN)
    assert file.read_text() == before
