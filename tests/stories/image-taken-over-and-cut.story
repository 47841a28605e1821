# A file that a host was asked for before it was cut off comes when that is over: whoever undoes the upload says so.
image big
wait 0.04
deposed at 3
cut kvm1
wait 60
heal kvm1
wait 60
== told
> image big
> wait 0.04
> deposed at 3
> cut kvm1
> wait 60
another controller takes over
  host lost: kvm1 does not answer: kvm1: no route to host
  task 1 (image add big) failed image big was not added: the controller ended first
> heal kvm1
> wait 60
kvm1: made /shared/image-big-/disk.raw
  host back: kvm1 answers again, after 
> all is mended
