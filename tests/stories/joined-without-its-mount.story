# A host without the shared storage has no lockspace either: it is not added, as its VMs could take no lease.
machine kvm4
unmount kvm4
join kvm4
then
create web1 1024 kvm4
then
== told
> machine kvm4
> unmount kvm4
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000000-42930b33/probe
kvm1: deleted /shared/.vmctl-probe-1800000000-42930b33/probe
  task 1 (host add kvm4) failed 1 of 1 hosts were not added
> create web1 1024 kvm4
> then
  task 2 (create web1) failed there is no host 'kvm4'
> all is mended
