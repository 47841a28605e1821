# A cold move whose controller died before it saw the guest end: somebody moved it elsewhere, and no second copy starts.
lawless
create web1
then
killed at 35
migrate web1 cold
wait 5
move web1 kvm3
wait 5
controller
then
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> killed at 35
> migrate web1 cold
> wait 5
> move web1 kvm3
> wait 5
> controller
> then
  task 2 (migrate web1) failed web1 is not on kvm1 or kvm2: somebody moved it to kvm3
  found: web1 runs on kvm3, which is back
> all is mended
