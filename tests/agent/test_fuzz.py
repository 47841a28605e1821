"""A few seconds of the fuzzer in tests/fuzz on the decoder; longer runs by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).parents[1] / "fuzz" / "wire.py"
SEEDS = (
    b'"v":1,"t":"full","n":1,"d":{}}',
    b'"v":1,"t":"full","n":1,"part":1,"of":2,"d":{"a":[]}}',
    b'"a":[[1e9,"\\u00e9"]]',
)


def test_nothing_gets_out_of_the_decoder(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: pip install atheris")
    for number, seed in enumerate(SEEDS):
        (tmp_path / str(number)).write_bytes(seed)
    # A process counts the memory of who started it as its own (getrusage): a small shell does, and not this process.
    shell = ("sh", "-c", '"$@"; exit $?', "sh")
    fuzzing = (sys.executable, str(FUZZER), "-max_total_time=3", "-rss_limit_mb=512", "-timeout=5", str(tmp_path))
    command = [*shell, *fuzzing]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    print(done.stderr.strip().splitlines()[-1])
