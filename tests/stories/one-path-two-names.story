# One directory does not become two storages: one file would count as two.
storage two /two
then
storage three /two
storage four //two/
then
== told
> storage two /two
> then
kvm1: made /two/.vmctl-probe-1800000000-0ff18e02/probe
kvm1: deleted /two/.vmctl-probe-1800000000-0ff18e02/probe
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
  task 1 (storage add two) done
> storage three /two
> storage four //two/
> then
  task 2 (storage add three) failed /two is storage two already
  task 3 (storage add four) failed /two is storage two already
> all is mended
