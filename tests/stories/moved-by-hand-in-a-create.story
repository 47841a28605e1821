# A VM whose create was not written down as done, and that somebody moved before a controller lived again: its disk stays.
create web1
killed at 128
then
move web1 kvm2
wait 5
controller
then
== told
> create web1
> killed at 128
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
> move web1 kvm2
> wait 5
> controller
> then
  task 1 (create web1) failed web1 is not on kvm1: somebody moved it to kvm2
> all is mended
  found: web1 runs on kvm2, which is back
