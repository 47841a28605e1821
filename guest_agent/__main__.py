"""vmctl-agent [--config FILE] [--port PATH] [--once] [--version]

--once prints a full picture as JSON after two looks a second apart, and ends: to see what would be told.
"""

import json
import os
import sys
import time

from guest_agent import __version__, config, picture, wire
from guest_agent.agent import Agent
from guest_agent.machine import at
from guest_agent.port import Port

MYPY = False
if MYPY:
    from guest_agent.guest import Guest


def main(words: "list[str]") -> int:
    """The command; its exit code."""
    if "--help" in words or "-h" in words:
        print(__doc__.strip())
        return 0
    if "--version" in words:
        print(f"vmctl-agent {__version__}, wire format {wire.VERSION}")
        return 0
    options = {"--config": config.PATH, "--port": ""}
    rest = [word for word in words if word != "--once"]
    for name, value in zip(rest[::2], rest[1::2]):
        if name not in options:
            break
        options[name] = value
    if len(rest) % 2 or any(name not in options for name in rest[::2]):
        print(f"error: not understood: {' '.join(words)}\n{__doc__.strip()}", file=sys.stderr)
        return 2
    try:
        settings = config.read(options["--config"])
    except config.ConfigError as err:
        # a slip in the file must not leave the guest silent
        print(f"error: {err}; going on without the file", file=sys.stderr, flush=True)
        settings = config.check({})
    return once(settings) if "--once" in words else forever(settings, options["--port"])


def once(settings: config.Config) -> int:
    """Print what would be told."""
    guest = _guest(settings)
    guest.scan(time.monotonic())
    time.sleep(1.0)
    guest.poll(time.monotonic())
    guest.scan(time.monotonic())
    print(json.dumps(dict(at=at(), **picture.full(guest.picture)), indent=2))
    return 0


def forever(settings: config.Config, port: str) -> int:
    """Run until SIGTERM."""
    if os.name != "nt" and os.getpriority(os.PRIO_PROCESS, 0) == 0:
        os.nice(5)  # what runs in the guest comes first; but a busy guest must not look like a dead one
    agent = Agent(settings, _guest(settings), Port(port or settings.port))
    agent.run()
    return 0


def _guest(settings: config.Config) -> "Guest":
    if os.name == "nt":
        from guest_agent import windows

        return windows.Guest(settings, time.monotonic())  # type: ignore[return-value]
    from guest_agent import guest

    return guest.Guest(settings, time.monotonic())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
