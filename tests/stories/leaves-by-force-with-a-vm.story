# A host leaves by force with a VM on it: where that runs is not known, until the host is back.
create web1 1024 kvm1
then
leave kvm1 force
then
start web1
then
join kvm1
then
wait 30
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> leave kvm1 force
> then
  host: kvm1 left the pool; may still run there: web1
  task 2 (host remove kvm1) done
> start web1
> then
  task 3 (start web1) failed web1 may still run on kvm1, which was removed
> join kvm1
> then
kvm2: made /shared/lockspace/vmctl-probe-1800000001-UUID
kvm2: deleted /shared/lockspace/vmctl-probe-1800000001-UUID
kvm2: made /shared/.vmctl-probe-1800000001-3e37952d/probe
kvm2: deleted /shared/.vmctl-probe-1800000001-3e37952d/probe
  host: kvm1 joined the pool
  found: web1 runs on kvm1, which is back
  task 4 (host add kvm1) done
> wait 30
> all is mended
