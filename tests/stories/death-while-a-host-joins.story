# A controller dies while a host joins: it is asked for again, and nothing of the probes stays in the way.
machine kvm4
killed at 60
join kvm4
wait 5
controller
then
join kvm4
then
== told
> machine kvm4
> killed at 60
> join kvm4
> wait 5
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
> controller
  task 1 (host add kvm4) failed the controller ended while it ran, in step ''
> then
> join kvm4
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000005-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000005-UUID
kvm1: made /shared/.vmctl-probe-1800000005-30bcab0e/probe
kvm1: deleted /shared/.vmctl-probe-1800000005-30bcab0e/probe
  host: kvm4 joined the pool
  task 2 (host add kvm4) done
> all is mended
