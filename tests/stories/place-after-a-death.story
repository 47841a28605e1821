# A controller dies in a migration: what was promised on the target is free again with the next one.
create web1 2000 kvm1
then
migrate web1 kvm2
wait 1
kill
wait 2
controller
then
create web2 2000 kvm2
then
== told
> create web1 2000 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> kill
> wait 2
> controller
> then
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the controller ended while it ran
  task 2 (migrate web1) failed web1 was not migrated and runs on kvm1: the controller ended while it ran
> create web2 2000 kvm2
> then
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.json
kvm2: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm2
  task 3 (create web2) done
> all is mended
