# A controller dies between the stop and the start of a cold move: the next one starts it once.
lawless
create web1
then
killed at 45
migrate web1 cold
wait 10
controller
then
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> killed at 45
> migrate web1 cold
> wait 10
> controller
> then
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> all is mended
