"""Wait for files. Where there is no poll(2) (Windows), sockets can be waited for and a COM port cannot: it is looked at
five times a second."""

import select
import time

READ, WRITE = 1, 4  # as in poll(2)
UNPOLLED = 1 << 30  # stands for the port where it has no number
LOOK_EVERY_S = 0.2


def wait(wanted: "dict[int, int]", timeout_s: float) -> "set[int]":
    """Which of these (fd -> READ, WRITE or both) are ready, or broken; at most so long."""
    if not hasattr(select, "poll"):
        return wait_without_poll(wanted, timeout_s)
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    # a millisecond more: waking up just before something is due only costs another turn
    return {fd for fd, _ in poll.poll(max(0.0, timeout_s) * 1000 + 1)}


def wait_without_poll(wanted: "dict[int, int]", timeout_s: float) -> "set[int]":
    """The same by select(2) for sockets, and a short sleep for the port."""
    pause = min(max(0.0, timeout_s), LOOK_EVERY_S)
    readers = [fd for fd, events in wanted.items() if events & READ and fd != UNPOLLED]
    writers = [fd for fd, events in wanted.items() if events & WRITE and fd != UNPOLLED]
    if readers or writers:
        ready = set().union(*select.select(readers, writers, writers, pause))
    else:
        time.sleep(pause)
        ready = set()
    return ready | (wanted.keys() & {UNPOLLED})
