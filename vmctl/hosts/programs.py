"""The small programs that run on a host and answer "sample". Pure: texts only.

Three of them say the same thing: perl keeps its files open and forks nothing (0.1 ms of CPU per sample), awk forks
only to list processes, sh needs nothing else. Nothing is written on the host: the text travels as an argument.

A request is one line, a number. The answer is a frame: the byte 0x1e, the channel's token, that number, the length of
what follows the line, our process id, a line end, and sections separated by the byte 0x1e:

    boot_id  page size in KiB  wall clock in s  uptime in s  "z" and the uptime, in ticks, at which start ticks count 0
    /proc/loadavg
    the cpu lines of /proc/stat
    memory lines of /proc/meminfo
    pswpin and pswpout lines of /proc/vmstat (may be empty where there is no swap)
    /proc/pressure/cpu, then memory, then io: each empty where the kernel has none
    per disk of /proc/diskstats: "name ms_busy sectors_read sectors_written"; those surely made of other disks left out
    per interface of /proc/net/dev but lo: "name bytes_received bytes_sent kind speed", speed in Mbit/s or "-"
    and per QEMU process: "uuid read_bytes write_bytes" ("-" where unreadable), its -name argument, /proc/PID/stat;
    the same of each watched daemon of root's, with "-" as its uuid and no argument: of those that were begun by one of
    their own name the first one counts, as sshd has a process for each log-in; a young one does not, as libvirt's child
    has its name before it becomes QEMU

That "z" is 0 on a host that is one. Where its /proc is virtualised (lxcfs), uptime is the container's, and start ticks
are the kernel's: a process that has just begun shows how far apart they are.

Processes are looked for only when new ids were given out, once a second at most, and only among the ids since the look
before the last (a process may get its id a moment before it can be seen); all of /proc is read at first, when very
many are new, and now and then. A young process is looked at again: libvirt's child waits before it becomes QEMU.

What kind an interface is follows from which file of KINDS is there in its folder of /sys/class/net, the first one
counts; "-" where none is. It is looked up when a name is new, and again every minute.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

KINDS = (
    "bridge bridge/stp_state tap tun_flags bond bonding/slaves slave bonding_slave/state "
    "device device/uevent port brport/port_no other ifindex"
)
PERL = r"""
my ($token, @watched) = @ARGV; my %watched = map { $_ => 1 } @watched;
my (%open, %vm, %seen, %young, %kind, @last, $turn); $| = 1; @last = (0, 0);
my ($looked, $asked) = (-1, 0);
my $zero = `cat /proc/self/stat /proc/uptime` =~ /^\d+ \(.*\) \S (?:\S+ ){18}(\d+).*\n([\d.]+) \S+$/s
  ? sprintf "%.0f", $2 * 100 - $1 : 0;
sub again { my ($h, $n) = @_; sysseek $h, 0, 0; my $t = ""; sysread $h, $t, $n; $t }
sub once { open my $h, "<", $_[0] or return ""; again($h, $_[1] || 4096) }
sub kept { my ($f) = @_; unless ($open{$f}) { open my $h, "<", $f or return; $open{$f} = $h } $open{$f} }
sub file { my ($f, $n) = @_; my $h = kept($f) or return ""; again($h, $n || 8192) }
sub all { my ($f) = @_; my $h = kept($f) or return ""; my $t = again($h, 4096);
  1 while sysread $h, $t, 4096, length $t; $t }
sub cut { my ($t, $from, $to) = @_; my $a = index $t, $from; return "" if $a < 0;
  my $b = index $t, $to, $a; substr $t, $a, ($b < 0 ? length $t : $b) - $a }
sub keep { my ($p, $id, $called) = @_; my $all = once("/proc/$p/status");
  return unless $all =~ /^Tgid:\s$p$/m and ($id ne "-" or $all =~ /^Uid:\s0\s/m);
  open my $s, "<", "/proc/$p/stat" or return; open my $io, "<", "/proc/$p/io"; $vm{$p} = [$s, $io, $id, $called] }
sub look { my ($up, @new) = @_; my %again;
  for my $p (@new) { next if $vm{$p};
    once("/proc/$p/stat") =~ /^\d+ \((.*)\) \S (\d+) (?:\S+ ){17}(\d+)/s or next;
    my ($name, $parent, $start, $args) = ($1, $2, $3);
    if ($name =~ /^(?:qemu|kvm)/ and ($args = once("/proc/$p/cmdline", 1 << 17)) =~ /\0-uuid\0([-0-9A-Fa-f]{36})\0/) {
      my $id = $1; my $called = $args =~ /\0-name\0([^\0]{0,300})/ ? $1 : ""; $called =~ tr/\0-\x1f/?/;
      keep($p, $id, $called) }
    elsif ($up - ($start + $zero) / 100 < 10) { $again{$p} = 1 }
    elsif ($watched{$name} and once("/proc/$parent/stat") !~ /^\d+ \(\Q$name\E\) /) { keep($p, "-", "") } }
  %young = %again }
sub candidates { my ($now) = @_; my $was = $last[0]; @last = ($last[1], $now);
  return ($was + 1 .. $now, keys %young) if $was and $now >= $was and $now - $was < 100 and ++$turn % 100;
  opendir my $d, "/proc" or return; my %here = map { $_ => 1 } grep { /^[1-9]/ } readdir $d;
  my @new = grep { !$seen{$_} or $young{$_} } keys %here; %seen = %here; @new }
sub vm { my ($p) = @_; my ($s, $io, $id, $called) = @{$vm{$p}}; my $t = again($s, 4096);
  if ($t eq "") { delete $vm{$p}; return () } chomp $t; $t =~ tr/\0-\x1f/?/;
  my $used = again($io, 4096) =~ /^read_bytes: (\d+)\nwrite_bytes: (\d+)/m ? "$1 $2" : "- -";
  "$id $used\n$called\n$t" }
sub disks { my ($t, $o) = (all("/proc/diskstats"), "");
  $o .= "$1 $4 $2 $3\n" while $t =~
    /^ *\d+ +\d+ (?!loop|z?ram|dm-|md|zd|sr)(\S+) \d+ \d+ (\d+) \d+ \d+ \d+ (\d+) \d+ \d+ (\d+)/mg; $o }
sub kind { my ($folder) = @_; my ($speed) = once("$folder/speed") =~ /^(\d+)$/m; my @kinds = qw(KINDS); my $found = "-";
  while ($found eq "-" and my ($kind, $file) = splice @kinds, 0, 2) { $found = $kind if once("$folder/$file") ne "" }
  "$found " . ($speed // "-") }
sub interfaces { my ($now) = @_; my ($t, $o) = (all("/proc/net/dev"), "");
  if (abs($now - $asked) >= 60) { %kind = (); $asked = $now }
  while ($t =~ /^ *(?!lo:)([^:\s]+): *(\d+)(?: +\d+){7} +(\d+)/mg) { my ($name, $in, $out) = ($1, $2, $3);
    $o .= "$name $in $out " . ($kind{$name} //= kind("/sys/class/net/$name")) . "\n" } $o }
my $boot = once("/proc/sys/kernel/random/boot_id"); chomp $boot;
my $page = once("/proc/self/smaps") =~ /^KernelPageSize: +(\d+)/m ? $1 : 4;
while (defined(my $line = <STDIN>)) {
  alarm 3600; chomp $line; my $up = file("/proc/uptime"); my ($clock) = split " ", $up;
  my $load = file("/proc/loadavg"); my $now = file("/proc/sys/kernel/ns_last_pid") || (split " ", $load)[4];
  if (abs($clock - $looked) >= 1 and (%young or $now != $last[1])) { look($clock, candidates($now)); $looked = $clock }
  my $mem = file("/proc/meminfo"); my $swap = $mem =~ /^SwapTotal: +0 /m ? "" : file("/proc/vmstat", 1 << 14);
  my $stat = file("/proc/stat", 1 << 16);
  my $text = join "\x1e", "$boot $page " . time . " $clock z$zero", $load, cut($stat, "cpu", "intr"),
    cut($mem, "MemTotal", "SwapCached") . cut($mem, "HugePages_Total", "Hugetlb"), cut($swap, "pswpin", "pgalloc"),
    (map { file("/proc/pressure/$_") } "cpu", "memory", "io"), disks(), interfaces($clock),
    map { vm($_) } sort keys %vm;
  print "\x1e$token $line ", length $text, " $$\n", $text }
""".replace("KINDS", KINDS)

AWK = r"""
function first(f,   l) { l = ""; if ((getline l < f) < 0) l = ""; close(f); return l }
function lines(f, want,   l, t) { t = ""; while ((getline l < f) > 0) if (l ~ want) t = t l "\n"; close(f); return t }
function stat(   l, w) { cpu = ""; since = 0
  while ((getline l < "/proc/stat") > 0) { if (l ~ /^cpu/) cpu = cpu l "\n"
    else if (l ~ /^btime/) { split(l, w, " "); since = w[2]; break } } close("/proc/stat") }
function arguments(p,   c, l, after) { uuid = called = ""; c = "exec tr '\\0\\n' '\\n?' < /proc/" p "/cmdline"
  while ((c | getline l) > 0) { if (after == "-uuid") uuid = l; else if (after == "-name") called = substr(l, 1, 300)
    after = l } close(c); gsub(/[^ -~]/, "?", called); return uuid ~ /^[-0-9A-Fa-f]+$/ && length(uuid) == 36 }
function single(p) { return lines("/proc/" p "/status", "^Tgid:[^0-9]*" p "$") }
function roots(p) { return lines("/proc/" p "/status", "^Uid:[^0-9]*0[^0-9]") }
function begun(p, name) { return index(first("/proc/" p "/stat"), p " (" name ") ") == 1 }
function look(list,   n, w, i, p, s, f, name, again) { n = split(list, w, " "); young = again = ""
  for (i = 1; i <= n; i++) { p = w[i]; sub(/.*\//, "", p); if (p in vm) continue
    s = name = first("/proc/" p "/stat"); if (!sub(/^.*\) /, "", s)) continue
    sub(/^[0-9]+ \(/, "", name); sub(/\) [^)]*$/, "", name); split(s, f, " ")
    if (name ~ /^(qemu|kvm)/ && single(p) && arguments(p)) { vm[p] = f[20]; id[p] = uuid; title[p] = called }
    else if (up - (f[20] + zero) / 100 < 10) young = young " " p
    else if (index(watched, " " name " ") && !begun(f[2], name) && single(p) && roots(p)) {
      vm[p] = f[20]; id[p] = "-"; title[p] = "" } } }
function candidates(now,   c, l, p) { c = older; older = newer; newer = now; l = ""
  if (c > 0 && now >= c && now - c < 100 && ++turn % 100) {
    for (p = c + 1; p <= now; p++) l = l " " p; return l young }
  c = "echo /proc/[1-9]*"; c | getline l; close(c); return l }
function disks(   l, w, t) { t = ""; while ((getline l < "/proc/diskstats") > 0)
    if (split(l, w, " ") > 12 && w[3] !~ /^(loop|z?ram|dm-|md|zd|sr)/) t = t w[3] " " w[13] " " w[6] " " w[10] "\n"
  close("/proc/diskstats"); return t }
function kind(folder,   w, n, i, speed) { n = split("KINDS", w, " ")
  speed = first(folder "/speed"); if (speed !~ /^[0-9]+$/) speed = "-"
  for (i = 1; i < n; i += 2) if (first(folder "/" w[i + 1]) != "") return w[i] " " speed
  return "- " speed }
function interfaces(   l, w, t) { t = ""; if (up - asked >= 60 || up < asked) { split("", kinds); asked = up }
  while ((getline l < "/proc/net/dev") > 0) if (sub(/:/, " ", l) && split(l, w, " ") > 16 && w[1] != "lo") {
    if (!(w[1] in kinds)) kinds[w[1]] = kind("/sys/class/net/" w[1])
    t = t w[1] " " w[2] " " w[10] " " kinds[w[1]] "\n" } close("/proc/net/dev"); return t }
function process(p,   s, t, f, l, r, w) { s = t = first("/proc/" p "/stat"); if (!sub(/^.*\) /, "", t)) t = ""
  split(t, f, " "); if (t == "" || f[20] != vm[p]) { delete vm[p]; return "" }
  r = w = "-"; gsub(/[^ -~]/, "?", s)
  while ((getline l < ("/proc/" p "/io")) > 0) { if (l ~ /^read_bytes/) r = substr(l, 13)
    else if (l ~ /^write_bytes/) w = substr(l, 14) } close("/proc/" p "/io")
  return sep id[p] " " r " " w "\n" title[p] "\n" s }
BEGIN { ORS = ""; split(first("/proc/self/stat"), w, " "); pid = w[1]; sep = "\036"
  c = "cat /proc/self/stat /proc/uptime"; c | getline s; c | getline u; close(c)
  sub(/^.*\) /, "", s); split(s, f, " "); split(u, w, " "); zero = int(w[1] * 100 - f[20])
  boot = first("/proc/sys/kernel/random/boot_id"); page = 4; looked = -1
  if (split(lines("/proc/self/smaps", "^KernelPageSize"), w, " ") > 1) page = w[2] }
{ stat(); split(first("/proc/uptime"), w, " "); up = w[1]; load = first("/proc/loadavg"); split(load, w, " ")
  now = first("/proc/sys/kernel/ns_last_pid"); if (now == "") now = w[5]; now += 0
  if ((up - looked >= 1 || up < looked) && (young || now != newer)) { look(candidates(now)); looked = up }
  text = boot " " page " " int(since + up) " " up " z" zero sep load sep cpu sep
  text = text lines("/proc/meminfo", "^(Mem(Total|Free|Avail)|Buffers|Cached|HugePages_[TF]|Hugepagesize)") sep
  text = text lines("/proc/vmstat", "^pswp") sep lines("/proc/pressure/cpu", ".") sep
  text = text lines("/proc/pressure/memory", ".") sep lines("/proc/pressure/io", ".") sep
  text = text disks() sep interfaces()
  for (p in vm) text = text process(p)
  print sep token " " $0 " " length(text) " " pid "\n"; print text; fflush() }
""".replace("KINDS", KINDS)

SHELL = r"""
token=$1; shift; watched=$*; sep=$(printf '\036x'); sep=${sep%x}; nl=$(printf '\nx'); nl=${nl%x}; page=4; known=" "
first() { got=; { IFS= read -r got <"$1"; } 2>/dev/null; }
lines() { got=; { while IFS= read -r l; do for want in $2; do case $l in $want*) got=$got$l$nl;; esac; done
  done <"$1"; } 2>/dev/null; }
clean() { case $got in *[![:print:]]*) got=$(printf %s "$got" | tr -c '[:print:]' '?');; esac; }
look() { young=; for p in /proc/[1-9]*; do p=${p#/proc/}; case $known in *" $p="*) continue;; esac
  first /proc/$p/stat; case $got in *") "*) ;; *) continue;; esac
  name=${got#*(}; set -f; set -- ${got##*) }; set +f; start=${20:-0}; uuid=; called=
  parent=$2; case $name in qemu*|kvm*) arguments $p;; esac
  if [ ${#uuid} = 36 ]; then known="$known$p=$start=$uuid=$called "
  elif [ $((${up%.*} - (start + zero) / 100)) -lt 10 ]; then young=1
  elif daemon "${name%)*}" $parent $p; then known="$known$p=$start=-= "; else known="$known$p= "; fi; done; }
daemon() { case " $watched " in *" $1 "*) first /proc/$2/stat;; *) return 1;; esac
  case $got in "$2 ($1) "*) return 1;; esac; lines "/proc/$3/status" Uid:; set -- $got; [ "$2" = 0 ]; }
arguments() { after=; { while IFS= read -r l; do case $after in -uuid) uuid=${l%%[!-0-9A-Fa-f]*};; -name) called=$l;;
  esac; after=$l; done <<END
$(tr '\0\n' '\n?' </proc/$1/cmdline)
END
} 2>/dev/null; got=$(printf %.300s "$called" | tr -c '!-~' '?' | tr '*[?' '???'); called=$got; }
processes() { alive=" "; for each in $known; do p=${each%%=*}; case $each in *=*=*=*) ;; *)
    [ -d /proc/$p ] && alive="$alive$each "; continue;; esac
  first /proc/$p/stat; clean; s=$got; set -f; set -- ${s##*) }; set +f; rest=${each#*=}
  [ "${20:-}" = "${rest%%=*}" ] || continue
  alive="$alive$each "; rest=${rest#*=}; lines /proc/$p/io "read_bytes: write_bytes:"; set -- $got
  text="$text$sep${rest%%=*} ${2:--} ${4:--}$nl${rest#*=}$nl$s"; done; known=$alive; }
disks() { got=; { while read -r _ _ name _ _ from _ _ _ to _ _ busy _; do case $name in
    loop*|ram*|zram*|dm-*|md*|zd*|sr*) ;; *) got="$got$name $busy $from $to$nl";; esac; done </proc/diskstats
  } 2>/dev/null; }
kind() { first "$1/speed"; speed=$got; case $got in ''|*[!0-9]*) speed=-;; esac; found=; each=
  for word in KINDS; do case $each in '') each=$word; continue;; esac
    first "$1/$word"; [ -z "$got" ] || { found=$each; break; }; each=; done; got="${found:--} $speed"; }
interfaces() { all=; [ $((${up%.*} - asked)) -lt 60 ] || { kinds=$nl; asked=${up%.*}; }
  { while IFS=' :' read -r name in _ _ _ _ _ _ _ out _; do case $name in lo) continue;; esac
    case $in in ''|*[!0-9]*) continue;; esac
    case $kinds in *"$nl$name "*) ;; *) kind "/sys/class/net/$name"; kinds="$kinds$name $got$nl";; esac
    got=${kinds#*"$nl$name "}; all="$all$name $in $out ${got%%"$nl"*}$nl"; done </proc/net/dev; } 2>/dev/null; }
first /proc/sys/kernel/random/boot_id; boot=$got; newest=; looked=; young=; asked=-60; kinds=$nl
lines /proc/self/smaps KernelPageSize; set -- $got; page=${2:-4}
got=$(cat /proc/self/stat /proc/uptime); set -f; set -- ${got##*) }; set +f; zero=0; start=${20:-0}
while [ $# -gt 2 ]; do shift; done; [ -z "$2" ] || zero=$((${1%.*} * 100 + 1${1#*.} - 100 - start))
while read -r seq; do
  lines /proc/stat "cpu btime"; cpu=${got%%btime*}; set -- ${got#"$cpu"}; since=${2:-0}
  first /proc/uptime; up=${got%% *}; first /proc/loadavg; now=${got##* }; first /proc/sys/kernel/ns_last_pid
  now=${got:-$now}; if [ ${up%.*} != "$looked" ] && [ "$young$now" != "$newest" ]; then look; newest=$now
  looked=${up%.*}; fi
  first /proc/loadavg; text="$boot $page $((since + ${up%.*})) $up z$zero$sep$got$sep$cpu$sep"
  lines /proc/meminfo "MemTotal: MemFree: MemAvailable: Buffers: Cached: HugePages_Total: HugePages_Free: Hugepagesize:"
  text=$text$got$sep; lines /proc/vmstat pswp; text=$text$got
  for of in cpu memory io; do lines /proc/pressure/$of "some full"; text=$text$sep$got; done
  disks; text=$text$sep$got; interfaces; text=$text$sep$all
  processes; printf '%s %s %s %s\n%s' "$sep$token" "$seq" ${#text} $$ "$text"
done
""".replace("KINDS", KINDS)


def command(token: str, only: str = "", instead_of: tuple[int, str] | None = None, watched: Sequence[str] = ()) -> str:
    """The command line that becomes the best program this host can run; `only` forces "perl", "awk" or "sh".

    `watched`: names of daemons that are told beside QEMU's processes, as the kernel has them.

    /bin/sh reads it and is gone: `exec`. `instead_of` is the process id and the token of a program that hung: it is
    ended, if it is still that one.
    """
    before = ""
    if instead_of:
        pid, old = instead_of
        before = f"grep -q {old} /proc/{pid}/cmdline 2>/dev/null && kill -9 {pid}; "
    names = " ".join(watched)
    listed = f"watched={shlex.quote(f' {names} ')}"
    programs = {
        "perl": f"command -v perl >/dev/null 2>&1 && exec env LC_ALL=C perl -e {_text(PERL)} {token} {names}",
        # mawk fills its buffer before it reads a line, unless told to be interactive; others do not know the option
        "awk": 'command -v awk >/dev/null 2>&1 && case $(readlink -f "$(command -v awk)") in *mawk*) '
        f"exec env LC_ALL=C awk -W interactive -v token={token} -v {listed} {_text(AWK)};; "
        f"*) exec env LC_ALL=C awk -v token={token} -v {listed} {_text(AWK)};; esac",
        "sh": f"exec env LC_ALL=C sh -c {_text(SHELL)} sh {token} {names}",
    }
    chosen = [programs[only]] if only else list(programs.values())
    return before + "; ".join(chosen)


def _text(program: str) -> str:
    return shlex.quote(program.strip())
