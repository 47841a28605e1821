# A controller dies in an upload: what was made is taken away, and the name is free.
killed at 68
image big
wait 5
controller
then
image big
then
== told
> killed at 68
> image big
> wait 5
kvm1: made /shared/image-big-/disk.raw
> controller
> then
kvm1: deleted /shared/image-big-/disk.raw
  task 1 (image add big) failed image big was not added: the controller ended first
> image big
> then
kvm1: made /shared/image-big-/disk.raw
  image: image big was added to shared
  task 2 (image add big) done
> all is mended
