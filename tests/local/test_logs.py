"""Logs have a bound while they are written, and only their owner reads them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from vmctl.local import logs


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def test_a_log_is_bounded_while_it_is_written(tmp_path: Path) -> None:
    out = os.open(tmp_path / "old", os.O_WRONLY | os.O_CREAT)
    handler = logs.Rotating(tmp_path / "x.log", outputs=(out,), most_bytes=1000)
    for number in range(200):
        handler.emit(logging.LogRecord("n", 20, "p", 1, f"line {number} \udcff", None, None))
        os.write(out, b"printed past logging\n")
    handler.close()
    os.write(out, b"the last words\n")
    os.close(out)
    found = sizes(tmp_path)
    assert set(found) == {"old", "x.log", "x.log.1", "x.log.2"} and max(found.values()) <= 1100, found
    assert (tmp_path / "x.log").read_text().endswith("the last words\n")
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.glob("x.log*"))


def test_a_log_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "x.log").touch(0o644)
    logs.Rotating(tmp_path / "x.log").close()
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600


def test_what_is_written_now_and_then_is_bounded_too(tmp_path: Path) -> None:
    for number in range(50):
        assert logs.append(tmp_path / "y" / "x.log", f"line {number}\n", most_bytes=100)
    assert set(sizes(tmp_path / "y")) == {"x.log", "x.log.1"} and max(sizes(tmp_path / "y").values()) <= 100
    assert not logs.append(tmp_path / "y" / "x.log" / "z", "where no file can be")


def test_a_log_of_each_run(tmp_path: Path) -> None:
    for number in range(3):
        with logs.anew(tmp_path / "x.log") as file:
            file.write(f"run {number}")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x.log": "run 2", "x.log.1": "run 1"}
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600
