# A host makes an image's file after everybody has given up: it belongs to nobody, and the task's log says so.
fate * create_volume late
image big
then
wait 130
== told
> fate * create_volume late
> image big
> then
  task 1 (image add big) failed libvirt on kvm1 did not answer within 
> wait 130
kvm1: made /shared/image-big-/disk.raw
> all is mended
