# A drain is cancelled and its controller dies at once: the next one knows of the cancel, and moves nothing more.
create web1 1024 kvm1
create web2 1024 kvm1
then
drain kvm1
wait 1
cancel
wait 0.05
kill
wait 3
controller
then
== told
> create web1 1024 kvm1
> create web2 1024 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> cancel
> wait 0.05
> kill
> wait 3
> controller
> then
  task 3 (drain kvm1) cancelled task 3 was cancelled
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the controller ended while it ran
  task 4 (migrate web1) cancelled task 4 was cancelled; web1 runs on kvm1
  migration cancelled: web2 stays on kvm1: the migration was cancelled, as asked
  task 5 (migrate web2) cancelled the migration was cancelled, as asked; web2 runs on kvm1
> all is mended
