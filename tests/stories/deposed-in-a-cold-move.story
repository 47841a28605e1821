# Another controller takes over in the middle of a cold move: only one of them goes on with it.
create web1
then
deposed at 70
migrate web1 cold
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
> deposed at 70
> migrate web1 cold
> wait 5
another controller takes over
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> then
> all is mended
