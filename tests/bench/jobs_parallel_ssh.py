"""parallel-ssh's part of the jobs bench: run by the Python of the peers' environment, so it imports nothing of ours.

python jobs_parallel_ssh.py KEY once|kept PORT...

once: run `true` on all, and end, as a user's script does. kept: a round for each line of standard input, on
connections that stay, and a line when it is done.
"""

import os
import sys


def main():  # type: ignore[no-untyped-def]
    from pssh.clients import ParallelSSHClient
    from pssh.config import HostConfig

    key, how, *ports = sys.argv[1:]
    config = [HostConfig(port=int(port), user="root", private_key=key) for port in ports]
    client = ParallelSSHClient(["127.0.0.1"] * len(ports), host_config=config, pool_size=len(ports))

    def all_of_them():  # type: ignore[no-untyped-def]
        output = client.run_command("true")
        client.join(output)
        assert [host.exit_code for host in output] == [0] * len(ports)

    if how == "once":
        all_of_them()
        return
    for _ in sys.stdin:
        all_of_them()
        print("done", flush=True)
    os._exit(0)  # what it keeps would be closed one by one


main()
