# A storage with an image on it stays, and so does one with disks of VMs; an empty one goes.
create web1
storage two /two
then
image big two
then
forget two
then
forget shared
then
unimage big
then
forget two
then
== told
> create web1
> storage two /two
> then
kvm1: made /two/.vmctl-probe-1800000000-9148624f/probe
kvm1: deleted /two/.vmctl-probe-1800000000-9148624f/probe
kvm1: made /shared/lockspace/vmctl-probe-1800000000-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000000-UUID
  task 1 (storage add two) done
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> image big two
> then
kvm1: made /two/image-big-/disk.raw
  image: image big was added to two
  task 3 (image add big) done
> forget two
> then
  task 4 (storage remove two) failed storage two is in use by image big
> forget shared
> then
  task 5 (storage remove shared) failed storage shared is in use by web1, image tiny
> unimage big
> then
kvm1: deleted /two/image-big-/disk.raw
  image: image big was deleted
  task 6 (image remove big) done
> forget two
> then
  task 7 (storage remove two) done
> all is mended
