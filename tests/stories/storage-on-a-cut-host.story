# A host is silent while a storage is proven: the others have it.
cut kvm3
wait 40
storage two /two
then
heal kvm3
wait 30
recheck two
then
== told
> cut kvm3
> wait 40
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
> storage two /two
> then
kvm1: made /two/.vmctl-probe-1800000040-d24bace4/probe
kvm1: deleted /two/.vmctl-probe-1800000040-d24bace4/probe
kvm1: made /shared/lockspace/vmctl-probe-1800000040-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000040-UUID
  task 1 (storage add two) done
> heal kvm3
> wait 30
  host back: kvm3 answers again, after 
> recheck two
> then
kvm1: made /two/.vmctl-probe-1800000070-0bee2ebd/probe
kvm1: deleted /two/.vmctl-probe-1800000070-0bee2ebd/probe
kvm1: made /shared/lockspace/vmctl-probe-1800000070-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000070-UUID
  task 2 (storage check two) done
> all is mended
