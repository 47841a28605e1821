# A host joins, gets a VM, and does not leave with it.
machine kvm4
join kvm4
then
create web1 1024 kvm4
then
leave kvm4
then
stop web1
then
leave kvm4
then
== told
> machine kvm4
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000000-42930b33/probe
kvm1: deleted /shared/.vmctl-probe-1800000000-42930b33/probe
  host: kvm4 joined the pool
  task 1 (host add kvm4) done
> create web1 1024 kvm4
> then
kvm4: made /shared/vm-web1-UUID/disk.qcow2
kvm4: made /shared/vm-web1-UUID/disk.json
kvm4: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm4
  task 2 (create web1) done
> leave kvm4
> then
  task 3 (host remove kvm4) failed kvm4 runs web1
> stop web1
> then
  stopped: web1 was stopped on kvm4
  task 4 (stop web1) done
> leave kvm4
> then
  host: kvm4 left the pool
  task 5 (host remove kvm4) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 6 (start web1) done
