# Another controller takes over while memory is copied: the first one touches neither host any more.
create web1
then
migrate web1 kvm2
wait 1
deposed at 3
wait 5
then
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
> deposed at 3
> wait 5
another controller takes over
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> then
> all is mended
