# A host that gives no lease does not join, and one that lost its storage joins without it.
machine kvm4
fate kvm4 create refused
join kvm4
then
unmount kvm4
join kvm4
then
create web1 256 kvm4
then
mount kvm4
join kvm4
then
create web1 256 kvm4
then
== told
> machine kvm4
> fate kvm4 create refused
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000000-fb3675b8/probe
kvm1: deleted /shared/.vmctl-probe-1800000000-fb3675b8/probe
  task 1 (host add kvm4) failed 1 of 1 hosts were not added
> unmount kvm4
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000000-39745c90/probe
kvm1: deleted /shared/.vmctl-probe-1800000000-39745c90/probe
  task 2 (host add kvm4) failed 1 of 1 hosts were not added
> create web1 256 kvm4
> then
  task 3 (create web1) failed there is no host 'kvm4'
> mount kvm4
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000001-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000001-UUID
kvm1: made /shared/.vmctl-probe-1800000001-ff0c02d4/probe
kvm1: deleted /shared/.vmctl-probe-1800000001-ff0c02d4/probe
  host: kvm4 joined the pool
  task 4 (host add kvm4) done
> create web1 256 kvm4
> then
kvm4: made /shared/vm-web1-UUID/disk.qcow2
kvm4: made /shared/vm-web1-UUID/disk.json
kvm4: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm4
  task 5 (create web1) done
> all is mended
