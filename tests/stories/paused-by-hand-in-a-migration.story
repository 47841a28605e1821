# Somebody pauses it while it is moved: it arrives, and is said to be paused.
create web1
then
migrate web1 kvm2
wait 1
virsh kvm1 suspend web1
then
wait 15
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> virsh kvm1 suspend web1
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms; it is paused there, by somebody else
  task 2 (migrate web1) done
> wait 15
> all is mended
