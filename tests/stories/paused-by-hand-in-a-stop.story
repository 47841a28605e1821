# Somebody pauses a VM while a stop waits for its guest: the stop says that it cannot hear, and does not wait on.
create web1
then
guest web1 deaf
stop web1
wait 1
virsh kvm1 suspend web1
then
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
> virsh kvm1 suspend web1
> then
  task 2 (stop web1) failed web1 is paused (by request): its guest cannot hear its power button
> all is mended
  changed: web1 on kvm1 is paused (was running)
