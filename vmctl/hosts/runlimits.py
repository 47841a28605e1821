"""A run's limits are kept by the kernel for all of its processes, or it does not begin. Pure: texts only.

Where systemd runs, a transient service keeps them, as systemd wants to be the only one to make control groups. Else it
is a control group of the run's own, in that of whoever begins it: of version 1, or of 2 where the group above hands
memory and CPUs on. Without either the run is refused: a limit that only looks like one is worse than none.
"""

from __future__ import annotations

REFUSED = 75  # the exit status of what cannot be confined

# mounted CONTROLLER: $top, where its groups are. inside CONTROLLER: $at, the one of this process.
GROUPS = r"""
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
"""
# confine NAME MEM_MIB CPUS: makes the groups; $groups are what a process must join. Says why not, and fails.
CONFINE = (
    GROUPS
    + r"""
group() { mkdir "$1" && groups="$groups $1"; }
# hands_on GROUP MEM_MIB CPUS: those in it can be limited so. One that has processes cannot, but for the topmost.
hands_on() {
  { [ "$2" = 0 ] || echo +memory >"$1/cgroup.subtree_control"; } &&
    { [ "$3" = 0 ] || echo +cpu >"$1/cgroup.subtree_control"; }
} 2>/dev/null
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
  hands_on "$top$at" "$2" "$3" || { hands_on "$top" "$2" "$3" && at=; } || {
    echo "the control group ${at:-/} hands memory and CPUs on to no other" >&2
    return 1
  }
  group "$top$at/$1" || return
  [ "$2" = 0 ] || echo $bytes >"$top$at/$1/memory.max" || return
  [ "$2" = 0 ] || ! [ -e "$top$at/$1/memory.swap.max" ] || echo 0 >"$top$at/$1/memory.swap.max" || return
  [ "$3" = 0 ] || echo "$(($3 * 100000)) 100000" >"$top$at/$1/cpu.max"
}
# confined MEM_MIB CPUS: whether the service that this is in has these limits; systemd says nothing of those that it
# cannot keep, as for users in version 1. Says what is missing, and fails.
confined() {
  groups= bytes=$(($1 * 1048576))
  [ "$1" = 0 ] || { remembers && groups=$top$at; } || { lacks memory; return 1; }
  [ "$2" = 0 ] || counts "$2" || { lacks CPUs; return 1; }
}
lacks() { echo "the service that systemd begins there for $(id -un) has no limit of its $1" >&2; }
own() { case ${at##*/} in "vmctl-${PWD##*/}-"*) ;; *) return 1;; esac; }
remembers() {
  if mounted memory && inside memory; then
    own && at_most $bytes "$top$at/memory.limit_in_bytes" || return
    echo $bytes >"$top$at/memory.memsw.limit_in_bytes" || echo 0 >"$top$at/memory.swappiness"
  else
    mounted cgroup2 && inside '' && own && at_most $bytes "$top$at/memory.max" || return
    [ ! -e "$top$at/memory.swap.max" ] || at_most 0 "$top$at/memory.swap.max"
  fi
} 2>/dev/null
counts() {
  if mounted cpu && inside cpu; then
    own && read -r period <"$top$at/cpu.cfs_period_us" && read -r quota <"$top$at/cpu.cfs_quota_us"
  else
    mounted cgroup2 && inside '' && own && read -r quota period <"$top$at/cpu.max"
  fi && case $quota in max|-*) return 1;; esac && [ "$quota" -le $(($1 * period)) ]
} 2>/dev/null
at_most() { read -r has <"$2" && [ "$has" != max ] && [ "$has" -le "$1" ]; }
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
)
# never WHAT: it does not begin, for the reason that is read here.
NEVER = r"""UNKEPT="its limits cannot be kept there" TIED="it would end with its log-in there"
never() {
  { printf '%s: ' "$1"; cat; } >why
  ln -s 'never - -' fate 2>/dev/null
}
"""
# Those of a service are its own.
SERVICE = (
    GROUPS
    + NEVER
    + r"""
serves() { [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; }
# Whether systemd ends what is begun here together with this log-in, or with the sshd that let it in.
tied() {
  serves && { inside name=systemd || inside ''; } || return
  case ${at##*/} in
    session-*.scope) killed;;
    *.service) case $(systemctl show --property=KillMode --value "${at##*/}") in process|none) return 1;; esac;;
    *) return 1;;
  esac
}
# As logind decides (KillUserProcesses and its two lists); where it does not say, it is so.
killed() {
  but= only= all=
  { read -r _ all; read -r _ only; read -r _ but; } <<END
$(logind=org.freedesktop.login1
  busctl get-property $logind /org/freedesktop/login1 $logind.Manager KillUserProcesses KillOnlyUsers KillExcludeUsers)
END
  [ "$(id -u) $but" != "0 0" ] || return 1
  case "$but " in *" \"$(id -un)\" "*) return 1;; esac
  case "$only " in " "|"0 ") [ "$all" != false ];; *" \"$(id -un)\" "*) ;; *) return 1;; esac
}
# What an ordinary user has begun ends with his last log-in, unless he lingers.
lingers() {
  [ "$(id -u)" = 0 ] || [ "$(loginctl show-user --property=Linger --value "$(id -u)" 2>/dev/null)" = yes ] || {
    echo "systemd ends all that $(id -un) has begun with the last log-in (loginctl enable-linger $(id -un))" >&2
    return 1
  }
}
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
# serve NAME MEM_MIB CPUS WORD...: begin `sh WORD...` as a service with these limits.
serve() {
  lingers || return
  name=$1 mem=$2 cpus=$3
  shift 3
  count=$#
  while [ $count -gt 0 ]; do escape "$1"; shift; set -- "$@" "$out"; count=$((count - 1)); done
  set -- sh "$@"
  [ "$cpus" = 0 ] || set -- -p "CPUQuota=${cpus}00%" "$@"
  [ "$mem" = 0 ] || set -- -p "MemoryMax=${mem}M" -p MemorySwapMax=0 "$@"
  # Before version 243 it is so without that.
  case $(systemctl --version) in "systemd 24"[012]*|"systemd 23"*) ;; *) set -- -p OOMPolicy=continue "$@";; esac
  if [ "$(id -u)" = 0 ]; then
    set -- -p OOMScoreAdjust=-100 "$@"
  else
    set -- --user "$@"
    export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
  fi
  systemd-run --quiet --collect --unit "$name" --description "$name" -p "WorkingDirectory=$PWD" -p UMask=0077 \
    -p TimeoutStopSec=10 -p IgnoreSIGPIPE=no -p StandardOutput=null -p StandardError=null "$@" </dev/null >/dev/null
}
"""
)
