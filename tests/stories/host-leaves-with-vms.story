# A host that runs VMs does not go unless it is forced to; then they may still run there, and nobody starts them anew.
create web1
then
leave kvm1
then
leave kvm1 force
then
start web1 kvm2
then
stop web1
then
join kvm1
then
wait 30
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> leave kvm1
> then
  task 2 (host remove kvm1) failed kvm1 runs web1
> leave kvm1 force
> then
  host: kvm1 left the pool; may still run there: web1
  task 3 (host remove kvm1) done
> start web1 kvm2
> then
  task 4 (start web1) failed web1 may still run on kvm1, which was removed
> stop web1
> then
  task 5 (stop web1) failed web1 may still run on kvm1, which was removed
> join kvm1
> then
kvm2: made /shared/lockspace/vmctl-probe-1800000002-UUID
kvm2: deleted /shared/lockspace/vmctl-probe-1800000002-UUID
kvm2: made /shared/.vmctl-probe-1800000002-1dfc8352/probe
kvm2: deleted /shared/.vmctl-probe-1800000002-1dfc8352/probe
  host: kvm1 joined the pool
  task 6 (host add kvm1) done
  found: web1 runs on kvm1, which is back
> wait 30
> all is mended
