"""A run's limits are kept by the kernel for all of its processes, or it does not begin. Pure: texts only.

Where systemd runs, a transient service keeps them, as systemd wants to be the only one to make control groups. Else it
is a control group of the run's own, in that of whoever begins it: of version 1, or of 2 where the group above hands
memory and CPUs on. Without either the run is refused: a limit that only looks like one is worse than none.
"""

from __future__ import annotations

REFUSED = 75  # the exit status of what cannot be confined

# confine NAME MEM_MIB CPUS: makes the groups; $groups are what a process must join. Says why not, and fails.
CONFINE = r"""
mounted() {
  while read -r _ place kind options _; do
    case "$kind ,$options," in "cgroup "*",$1,"*|"$1 "*) [ ! -d "$place" ] || { top=$place; return; };; esac
  done </proc/self/mounts
  return 1
}
inside() {
  while IFS=: read -r _ names at; do
    case ",$names," in *",$1,"*) at=${at%/}; return;; esac
  done </proc/self/cgroup
  return 1
}
group() { mkdir "$1" && groups="$groups $1"; }
confine() {
  groups= bytes=$(($2 * 1048576))
  if [ "$2" != 0 ] && mounted memory && inside memory; then
    group "$top$at/$1" || return
    echo $bytes >"$top$at/$1/memory.limit_in_bytes" || return
    echo $bytes >"$top$at/$1/memory.memsw.limit_in_bytes" || echo 0 >"$top$at/$1/memory.swappiness" || return
    set -- "$1" 0 "$3"
  fi
  if [ "$3" != 0 ] && mounted cpu && inside cpu; then
    group "$top$at/$1" || return
    echo 100000 >"$top$at/$1/cpu.cfs_period_us" && echo $(($3 * 100000)) >"$top$at/$1/cpu.cfs_quota_us" || return
    set -- "$1" "$2" 0
  fi
  [ "$2 $3" != "0 0" ] || return 0
  mounted cgroup2 && inside '' || return
  echo '+memory +cpu' >"$top$at/cgroup.subtree_control"
  group "$top$at/$1" || return
  [ "$2" = 0 ] || echo $bytes >"$top$at/$1/memory.max" || return
  [ "$2" = 0 ] || ! [ -e "$top$at/$1/memory.swap.max" ] || echo 0 >"$top$at/$1/memory.swap.max" || return
  [ "$3" = 0 ] || echo "$(($3 * 100000)) 100000" >"$top$at/$1/cpu.max"
}
# What a run's groups say of it: whether the kernel ended something of it for want of memory.
starved() {
  for each in $groups; do
    grep -qs '^oom_kill [1-9]' "$each/memory.oom_control" "$each/memory.events" && return
  done
  return 1
}
# What is left in them goes, and they with it.
release() {
  tries=0
  for each in $groups; do
    until rmdir "$each" 2>/dev/null || [ ! -d "$each" ] || [ $tries -ge 50 ]; do
      while read -r process; do kill -KILL "$process" 2>/dev/null; done <"$each/cgroup.procs"
      tries=$((tries + 1)); sleep 0.05
    done
  done
}
"""
# Those of a service are its own.
SERVICE = r"""
serves() { [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; }
# systemd puts variables into a service's words; two dollars stand for one. $out: the word as it is written for that.
escape() {
  out= rest=$1
  while :; do
    case $rest in
      *'$'*) out="$out${rest%%'$'*}"'$$' rest=${rest#*'$'};;
      *) out=$out$rest; return;;
    esac
  done
}
# serve NAME MEM_MIB CPUS COMMAND...: begin it as a service with these limits.
serve() {
  name=$1 mem=$2 cpus=$3
  shift 3
  count=$#
  while [ $count -gt 0 ]; do escape "$1"; shift; set -- "$@" "$out"; count=$((count - 1)); done
  set -- sh "$@"
  [ "$cpus" = 0 ] || set -- -p "CPUQuota=${cpus}00%" "$@"
  [ "$mem" = 0 ] || set -- -p "MemoryMax=${mem}M" -p MemorySwapMax=0 "$@"
  [ "$(id -u)" = 0 ] || set -- --user "$@"
  systemd-run --quiet --collect --unit "$name" -p "WorkingDirectory=$PWD" -p OOMPolicy=continue \
    --setenv "PATH=$PATH" --setenv "HOME=$HOME" --setenv "LANG=${LANG:-C}" "$@" </dev/null >/dev/null
}
"""
