# Somebody moves it while a stop waits for its guest, and its new host is cut off: it is not called stopped.
create web1
then
guest web1 deaf
stop web1
wait 1
move web1 kvm2
wait 2.9
cut kvm2
wait 10
delete web1
wait 5
heal kvm2
wait 30
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 deaf
> stop web1
> wait 1
> move web1 kvm2
> wait 2.9
> cut kvm2
> wait 10
  task 2 (stop web1) failed web1 is not on kvm1 any more: somebody may have moved it to kvm2, and no answer comes from there
> delete web1
> wait 5
> heal kvm2
> wait 30
  ended: web1 is no longer on kvm1: may still run on kvm2; asked to shut down by local user: no answer yet
  task 3 (delete web1) failed web1 may still run on kvm2, which does not answer: the connection to libvirt on kvm2 was lost
  found: web1 runs on kvm2, which is back
> all is mended
