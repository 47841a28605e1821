# A storage is registered once it is proven from every host, and forgotten while nothing is on it.
storage two /two
then
image big two
then
forget two
then
unimage big
then
forget two
then
== told
> storage two /two
> then
kvm1: made /two/.vmctl-probe-1800000000-0ff18e02/probe
kvm1: deleted /two/.vmctl-probe-1800000000-0ff18e02/probe
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
  task 1 (storage add two) done
> image big two
> then
kvm1: made /two/image-big-/disk.raw
  image: image big was added to two
  task 2 (image add big) done
> forget two
> then
  task 3 (storage remove two) failed storage two is in use by image big
> unimage big
> then
kvm1: deleted /two/image-big-/disk.raw
  image: image big was deleted
  task 4 (image remove big) done
> forget two
> then
  task 5 (storage remove two) done
> all is mended
