# An image that reads back otherwise than it was written is not registered, and its file goes.
fate * download refused
image big
then
image big
then
== told
> fate * download refused
> image big
> then
kvm1: made /shared/image-big-/disk.raw
kvm1: deleted /shared/image-big-/disk.raw
  task 1 (image add big) failed libvirt on kvm2: internal error: no, says the story
> image big
> then
kvm1: made /shared/image-big-/disk.raw
  image: image big was added to shared
  task 2 (image add big) done
> all is mended
