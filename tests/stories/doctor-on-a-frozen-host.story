# The doctor is asked about a host whose libvirtd stands still: it says so and ends.
freeze kvm2
check kvm2
then
thaw kvm2
wait 60
check kvm2
then
== told
> freeze kvm2
> check kvm2
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
  host lost: kvm2 does not answer: kvm2: the connection to libvirt was lost
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: made /shared/.vmctl-probe-1800000050-9a27d858/probe
kvm1: deleted /shared/.vmctl-probe-1800000050-9a27d858/probe
  task 1 (host check kvm2) done
> thaw kvm2
> wait 60
  host back: kvm2 answers again, after 
> check kvm2
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000110-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000110-UUID
kvm1: made /shared/.vmctl-probe-1800000110-4e49df56/probe
kvm1: deleted /shared/.vmctl-probe-1800000110-4e49df56/probe
  task 2 (host check kvm2) done
> all is mended
