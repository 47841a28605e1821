# A host that falls silent while it joins is not registered.
machine kvm4
join kvm4
wait 0.05
cut kvm4
then
heal kvm4
join kvm4
then
== told
> machine kvm4
> join kvm4
> wait 0.05
> cut kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000090-7244f536/probe
kvm1: deleted /shared/.vmctl-probe-1800000090-7244f536/probe
  task 1 (host add kvm4) failed 1 of 1 hosts were not added
> heal kvm4
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000090-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000090-UUID
kvm1: made /shared/.vmctl-probe-1800000090-2147c6f5/probe
kvm1: deleted /shared/.vmctl-probe-1800000090-2147c6f5/probe
  host: kvm4 joined the pool
  task 2 (host add kvm4) done
> all is mended
