# Three controllers on one database: the leader loses its power in the middle of a live migration. Sourced by try.

say "1. Three hosts; a PostgreSQL database; $controllers controllers, each a machine of its own"
run lab up --controllers "$controllers"
lab=${XDG_STATE_HOME:-$HOME/.local/state}/vmctl/lab-${VMCTL_LAB:-lab}/machines
names=$(python -c "from vmctl import lab; print(*(m.name for m in lab.status().machines if m.socket))")

at() { # CONTROLLER WORDS...: a command that is given to that one
    local folder=$lab/${1%%-*}
    shift
    XDG_CONFIG_HOME=$folder/config XDG_DATA_HOME=$folder/data VMCTL_SOCKET=$folder/run/s vmctl "$@"
}
run_at() { printf '\n\033[1;36m%s$ vmctl %s\033[0m\n' "$1" "${*:2}"; at "$@"; }
leading() { # as one of them has it from the database
    at "$1" controller list -o json | python3 -c "import json, sys; print(next(c['name'] for c in json.load(sys.stdin) if c['leads']))"
}

last=${names##* }
leader=$(leading "$last")
others=$(for name in $names; do [ "$name" = "$leader" ] || echo "$name"; done)
one=$(echo $others | cut -d' ' -f1) two=$(echo $others | cut -d' ' -f2)
run_at "$one" controller list

say "2. One pool, made through $one, which does not lead: it passes on what it is asked"
hosts=$(python -c "from vmctl import lab; print(*(h.name for h in lab.status().hosts))")
at "$one" host list -o name 2>/dev/null | grep -q . || run_at "$one" host add $hosts
at "$one" storage list -o name 2>/dev/null | grep -qx main || run_at "$one" storage add main --path /shared
part() { vmctl lab image tiny -o json | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
at "$one" image list -o name 2>/dev/null | grep -qx tiny || run_at "$one" image add tiny "$(part disk)" \
    --kernel "$(part kernel)" --initrd "$(part initrd)" --cmdline "$(part cmdline)"
at "$one" show mover >/dev/null 2>&1 || run_at "$one" create mover --image tiny --memory 256M
run_at "$two" list
source_host=$(at "$two" show mover -o json | python3 -c "import json, sys; print(json.load(sys.stdin)['host'])")
key=${XDG_DATA_HOME:-$HOME/.local/share}/vmctl/ssh/id_ed25519
on_host() { # HOST COMMAND: past vmctl
    ssh -i "$key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "root@$1" "$2"
}

say "3. A live migration through $one; in the middle of it $leader, which leads, loses its power"
sleep 10 # its guest boots
on_host "$source_host" "virsh -q migrate-setspeed mover 16" # so that there is a middle
at "$one" migrate mover & moving=$!
until at "$two" task list -o json | python3 -c "import json, sys; sys.exit(not any(t['kind'] == 'migrate' and t['step'] == 'copying' and t['state'] == 'running' for t in json.load(sys.stdin)))"; do sleep 0.2; done
sleep 1
run lab kill "$leader"
killed=$SECONDS
say "meanwhile the others are asked, again and again"
while [ $((SECONDS - killed)) -lt 12 ]; do
    for name in $one $two; do
        began=$(date +%s%N)
        at "$name" list -o name >/dev/null || fail "$name does not answer"
        echo "$((SECONDS - killed)) s after: $name answered in $((($(date +%s%N) - began) / 1000000)) ms"
    done
    sleep 1
done

say "4. The truth"
code=0
wait $moving || code=$?
run_at "$two" controller list
run_at "$two" list
copies=0
for host in $hosts; do
    state=$(on_host "$host" "virsh -q domstate mover 2>/dev/null" || :)
    [ -z "$state" ] || { echo "$host has it: $state"; copies=$((copies + 1)); }
done
[ $copies = 1 ] || fail "$copies hosts have mover"
[ $code = 0 ] || fail "the migration ended with $code; vmctl task list tells why"
run_at "$two" events
run lab boot "$leader"
run_at "$leader" list
run_at "$leader" controller list
cat <<END

$(say "Take it all down")
  vmctl lab down
END
