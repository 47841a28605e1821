"""The programs that begin, keep, show and end runs on a host, read by its /bin/sh. Pure: texts only; see `runs`."""

from __future__ import annotations

from vmctl.hosts.runlimits import CONFINE, NEVER, SERVICE

KEEP_S, LOOK_S = 86400, 600  # after its end, where nobody collects it; between two looks for that
MOST_CHUNK = 64 << 10  # bytes of one stream of one run that one answer brings

# What a log-in has, before any of our own variables may stand in for one of its.
GIVEN = r"""given=$(export -p; printf 'umask '; umask)
"""
# Others may have made something of that name, in a folder where everybody may.
ROOT = r"""umask 077
root=${VMCTL_RUNS:-/var/tmp/vmctl-runs-$(id -u)}
[ -d "$root" ] || mkdir -m 700 "$root" 2>/dev/null
[ -d "$root" ] && [ ! -L "$root" ] && [ -O "$root" ] || { echo "$root is somebody else's" >&2; exit 71; }
cd "$root" || exit 71
"""
# lives BOOT PID TICK: whether that incarnation lives, which only builtins ask; $pid: its process.
LIVES = r"""IFS= read -r boot </proc/sys/kernel/random/boot_id
stat() {
  line=  # a process may have line ends in its name
  { while IFS= read -r part; do line="$line $part"; done <"/proc/$1/stat"; } 2>/dev/null && [ "$line" ] || return 1
  line=${line##*) }; set -- $line; state=$1 began=${20}
}
lives() { [ "$1" = "$boot" ] && stat "$2" && [ "$began" = "$3" ] && [ "$state" != Z ] && pid=$2; }
# Whether that can be one. No run is process 1: to signal its group would be to signal all.
entire() { [ $# = 3 ] && [ ${#1} -lt 65 ] && [ ${#2} -lt 11 ] && [ ${#3} -lt 19 ] &&
  case $2$3 in --) ;; *[!0-9]*) false;; *) [ "$2" -gt 1 ];; esac; }
# $life: what stands in that folder, where its user has put nothing else there.
life_of() { life=; [ -f "$1/life" ] && read -r life <"$1/life" && entire $life || life=; }
# It may have left folders that even its user may not write into.
away() { rm -rf "$1" 2>/dev/null || { chmod -R u+rwX "$1"; rm -rf "$1"; }; }
"""
# It leads a session of its own and is nobody's child: no log-in takes it along. Its folder is where it runs.
SUPERVISE = (
    LIVES
    + CONFINE
    + NEVER
    + r"""limit=$1 timeout=$2 mem=$3 cpus=$4
shift 4
trap '' HUP
{ exec 8<. && flock -s 8; } 2>/dev/null  # who cleans up by age leaves a folder alone that is locked
# What is no service is limited here, before it is decided that it begins.
groups=
if [ -e served ]; then
  confined "$mem" "$cpus" 2>said || { never "$UNKEPT" <said; exit 75; }
elif [ "$mem $cpus" != "0 0" ]; then
  trap release EXIT
  confine "vmctl-${PWD##*/}-$$" "$mem" "$cpus" 2>said || {
    [ -s said ] || echo "no control groups for memory and CPUs are mounted" >said
    never "$UNKEPT" <said; exit 75
  }
fi
stat $$ && ln -s "$boot $$ $began" fate 2>/dev/null && mkfifo out.pipe err.pipe || exit 1
folder=$PWD
# No `: >file` in here: where that fails, which is where nothing more can be written, it would end the shell.
take() {
  ( { ulimit -f $((limit * 2)) || true; } 2>/dev/null; exec cat >"$1" ) 2>/dev/null || {
    true >"$1.cut"; exec cat >/dev/null
  } 2>/dev/null
}
take out <out.pipe 3>&- & readers=$!
take err <err.pipe 3>&- & readers="$readers $!"
clock=
[ "$timeout" = 0 ] || {
  (
    sleep "$timeout" & sleeps=$!
    trap 'kill $sleeps; exit' TERM  # who ends this ends that, too: it may be a week
    wait $sleeps; true >late
    trap - TERM
    life_of .
    lives $life && { kill -TERM "-$pid"; sleep 10; kill -KILL "-$pid"; }
  ) 2>/dev/null 3>&- & clock=$!
}
# It is waited for and is not put into the background, where a shell has it ignore interrupts.
(
  exec <in >out.pipe 2>err.pipe 3>&- 8>&-
  trap - HUP EXIT
  if [ -e served ]; then
    # Where memory is short its keeper, who is in the same group, is the last to be ended.
    read -r adj </proc/self/oom_score_adj && [ "$adj" -gt 900 ] || echo $((adj + 100)) >/proc/self/oom_score_adj
  else
    for each in $groups; do echo 0 >"$each/cgroup.procs" || exit 125; done
  fi
  cd work
  exec setsid sh "$folder/first" "$@"
)
code=$?
[ "$clock" ] && kill $clock 2>/dev/null
rm -f out.pipe err.pipe
# What is in its pipes is read to its end; but what it left behind may hold them for ever.
tries=0
reads() { for each in $readers; do kill -0 "$each" 2>/dev/null && return; done; return 1; }
while reads && [ $tries -lt 60 ]; do
  tries=$((tries + 1)); if [ $tries -lt 30 ]; then sleep 0.01; else sleep 0.05; fi
done
! starved || true >starved
# In place: there may be no room for anything new.
printf '%s %s\n' "$code" "$(date +%s)" 1<>code.new && mv code.new code
"""
)
# What becomes the command writes its life down first, and stays the process that it is.
FIRST = (
    LIVES
    + r"""folder=${0%/*}
stat $$ && echo "$boot $$ $began" >"$folder/life.new" && mv "$folder/life.new" "$folder/life" || exit 125
# Whose it is tells it which one it is. What its log-in has comes last, with names that may be ours.
IFS= read -r line <"$folder/asked"
case $line in
  "job "*" run "*) read -r _ VMCTL_JOB _ VMCTL_RUN _ <"$folder/asked"; export VMCTL_JOB VMCTL_RUN;;
esac
set -- "$VMCTL_JOB" "$VMCTL_RUN" "$folder/given" "$@"
unset folder boot line part state began PWD OLDPWD
. "$3"
VMCTL_JOB=$1 VMCTL_RUN=$2
shift 3
cd -P .
exec "$@"
"""
)
# show PLACE ID OUT ERR: what a host shows of a run, and what it printed from there on ("-": nothing), up to $most bytes
# of each. That is base64, as it need not be text. The code is the last thing that a keeper writes: so it is looked for
# once he was seen to be gone or not, and then what was printed.
SHOW = (
    LIVES
    + r"""bytes() {
  [ "$5" = - ] || [ "${4:-0}" -le "$5" ] ||
    echo "$2 $1 $(tail -c "+$(($5 + 1))" "$3/$2" | head -c "$most" | base64 | tr -d '\n')"
}
show() {
  [ -d "$2" ] || { echo "= $1 gone"; return; }
  code= life= is=no kept=no late=no cut= each= ended=
  fate=$(readlink "$2/fate")
  entire $fate || if [ -e "$2/fate" ] || [ -L "$2/fate" ]; then fate="$boot - -"; else fate='open - -'; fi
  life_of "$2"
  lives $life && is=yes
  lives $fate && kept=yes
  if [ -e "$2/code" ]; then
    code='- -'  # it was not its keeper who wrote what is none
    [ ! -f "$2/code" ] || read -r each ended _ <"$2/code"
    case $each$ended in
      *[!0-9]*) ;;
      *) [ ${#each} -gt 3 ] || [ "${each:-999}" -gt 255 ] || [ ${#ended} -gt 11 ] || code="$each ${ended:--}";;
    esac
  fi
  [ -e "$2/late" ] && late=yes
  [ -e "$2/starved" ] && late=starved
  [ -e "$2/out.cut" ] && cut=o
  [ -e "$2/err.cut" ] && cut=${cut}e
  out=0 err=0
  { [ ! -s "$2/out" ] || out=$(wc -c <"$2/out"); [ ! -s "$2/err" ] || err=$(wc -c <"$2/err"); } 2>/dev/null
  echo "= $1 $boot $fate $kept ${life:-- - -} $is ${code:-- -} $late ${out:-0} ${err:-0} ${cut:-n}"
  [ ! -s "$2/why" ] || [ "${fate%% *}" != never ] || echo "why $1 $(head -c 500 "$2/why" | base64 | tr -d '\n')"
  bytes "$1" out "$2" "$out" "$3"
  bytes "$1" err "$2" "$err" "$4"
}
"""
)
# The same of those of many that have ended or have printed more, as soon as there is one, for so many tenths of a
# second; of all, where it is not waited for. $found: their ids.
FOLLOW = (
    ROOT
    + SHOW
    + r"""look() {
  found=
  while read -r id keeper; do
    [ ! -e "$id/code" ] && [ -d "$id" ] || { found="$found $id"; continue; }
    [ "$keeper" ] || continue
    life_of "$id"
    lives $keeper || lives $life || found="$found $id"
  done <<END
$runs
END
  [ -z "$files" ] || found="$found $(wc -c $files 2>/dev/null | while read -r size name; do
    [ "$name" != total ] && [ "$size" -gt "${1:-0}" ] && echo "${name%/*}"
    [ $# = 0 ] || shift
  done)"
}
tenths=$1 most=$2 runs= files= offsets= found=
shift 2
wanted=$*
while [ $# -gt 0 ]; do
  keeper=$(readlink "$1/fate")
  case $keeper in never*) keeper=;; esac
  runs="$runs$1 $keeper
"
  [ "$2" = - ] || { files="$files $1/out $1/err"; offsets="$offsets $2 $3"; }
  shift 3
done
runs=${runs%?} all=$tenths place=0
while [ "$tenths" -gt 0 ]; do
  look $offsets
  case $found in *[![:space:]]*) break;; esac
  tenths=$((tenths - 1)); sleep 0.1
done
set -- $found
found=" $* "
set -- $wanted
while [ $# -gt 0 ]; do
  case $found in *" $1 "*) show $place "$1" "$2" "$3";; *) [ "$all" != 0 ] || show $place "$1" "$2" "$3";; esac
  place=$((place + 1)); shift 3
done
"""
)
# One for all runs of a user, as long as there are any: what nobody collects goes a day after its end.
SWEEP = (
    LIVES
    + r"""trap '' HUP
stat $$ && ln -s "$boot $$ $began" .sweeper || exit
while sleep EVERY; do
  [ "$(readlink .sweeper)" = "$boot $$ $began" ] || exit  # another one began at the same moment
  for old in */code; do  # looks are counted: a clock may be set
    folder=${old%/code}
    [ -e "$old" ] && printf . >>"$folder/looks" && [ "$(wc -c <"$folder/looks")" -ge KEPT ] && away "$folder"
  done
  ls | grep -q . || break
done
rm -f .sweeper
""".replace("EVERY", str(LOOK_S)).replace("KEPT", str(KEEP_S // LOOK_S))
)
BEGIN = (
    GIVEN
    + ROOT
    + SHOW
    + SERVICE
    + r"""trap '' HUP
id=$1 input=$2 files=$3 limit=$4 timeout=$5 mem=$6 cpus=$7 asked=$8 supervise=$9
shift 9
first=$1 sweep=$2
shift 2
new=.$id.$$ most=CHUNK
[ -d "$id" ] || {
  full() { echo "$root takes nothing" >&2; exit 73; }
  trap 'cd "$root"; rm -rf "$new"' EXIT
  mkdir "$new" "$new/work" || full
  if [ "$input$files" = 00 ]; then true >"$new/in"; else head -c "$input" >"$new/in" && cat >"$new/files"; fi &&
  for name in asked supervise first given; do
    eval "printf '%s\n' \"\$$name\"" >"$new/$name" || full
  done && printf '%64s\n' '' >"$new/code.new" && true >"$new/out" && true >"$new/err" || full
  [ "$input$files" = 00 ] || {
    [ "$(wc -c <"$new/in") $(wc -c <"$new/files")" = "$input $files" ] || { echo "its input was cut" >&2; exit 74; }
    [ "$files" = 0 ] || tar -xf "$new/files" -C "$new/work" || full
    rm "$new/files"
  }
  if mv -T "$new" "$id" 2>/dev/null; then trap - EXIT; else [ -d "$id" ] || full; fi
}
begin() {
  cd "$id" || exit 73
  what=$UNKEPT
  if { [ "$mem $cpus" != "0 0" ] && serves; } || { what=$TIED; tied; }; then
    true >served || exit 73
    serve "vmctl-$id-$$" "$mem" "$cpus" "$PWD/supervise" "$@" 2>said || never "$what" <said
  else
    # Nobody's child at once: whoever ends this log-in ends all that it has begun. A shell's own way to do that would
    # have it ignore interrupts.
    trap - HUP
    exec setsid --fork sh ./supervise "$@" </dev/null >/dev/null 2>&1
  fi
}
# Its keeper alone holds a pipe to here until it ends: one that ends soon is waited for without a look each moment.
# Where that tells nothing, these follow.
[ -L "$id/fate" ] || ( begin "$limit" "$timeout" "$mem" "$cpus" "$@" ) 3>&1 >/dev/null 2>&1 |
  timeout 0.5 cat >/dev/null 2>&1
if [ $? = 124 ]; then tries=30; else tries=0; fi
until [ -e "$id/code" ] || [ $tries -ge 30 ]; do
  tries=$((tries + 1)); sleep 0.01
done
while [ ! -e "$id/life" ] && [ ! -e "$id/code" ] && [ $tries -lt 80 ]; do
  [ "$(readlink "$id/fate")" != 'never - -' ] || break
  tries=$((tries + 1)); sleep 0.1
done
show 0 "$id" 0 0
lives $(readlink .sweeper) || {
  rm -f .sweeper
  ( { tied && serve "vmctl-sweep-$$" 0 0 -c "$sweep" || exec setsid sh -c "$sweep"; } </dev/null >/dev/null 2>&1 & )
}
:
"""
).replace("CHUNK", str(MOST_CHUNK))
SIGNAL = ROOT + LIVES + r"""life_of "$1"; lives $life && kill "-$2" "-$pid" || exit 66"""
# A run whose end is not known stays; one that has not begun never will.
COLLECT = (
    ROOT
    + LIVES
    + r"""for id; do
  [ -d "$id" ] || continue
  ln -s 'never - -' "$id/fate" 2>/dev/null
  life_of "$id"
  [ ! -e "$id/code" ] && { lives $(readlink "$id/fate") || lives $life; } && { echo "$id"; continue; }
  away "$id"
done
"""
)
# A file or folder that it left where it ran, as an archive in base64.
FETCH = (
    ROOT
    + r"""cd "$1/work" && [ -e "$2" ] || exit 66
tar -czf - -- "$2" | base64"""
)
