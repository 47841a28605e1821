# A controller dies just after the guest has changed hosts: the next one finds it there.
create web1
then
migrate web1 kvm2
wait 2.72
kill
wait 5
controller
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
> wait 2.72
> kill
> wait 5
> controller
> then
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the controller ended while it ran
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> all is mended
