# A cold move: stopped here, seen to be off, started there.
create web1
then
migrate web1 cold
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 cold
> then
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> all is mended
