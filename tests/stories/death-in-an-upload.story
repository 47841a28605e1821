# A controller dies in an upload: what was made is taken away, and the name is free.
killed at 30
image big
wait 5
controller
then
image big
then
== told
> killed at 30
> image big
> wait 5
> controller
> then
kvm1: made /shared/image-big-101fbcccded733e8/disk.raw
  image: image big was added to shared
  task 1 (image add big) done
> image big
> then
  task 2 (image add big) failed there is already an image 'big'
> all is mended
