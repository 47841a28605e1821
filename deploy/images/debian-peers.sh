#!/bin/sh
# debian-12 with what else tells of a guest, for tests.bench.agent_peers.
image=debian-peers more_packages=,qemu-guest-agent,prometheus-node-exporter,collectd-core
export image more_packages
exec "$(dirname "$0")/debian-12.sh" "$@"
