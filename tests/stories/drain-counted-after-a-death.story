# A drain's controller dies: what its moves took away is counted by the successor.
create web1
then
create web2 1024 kvm1
then
drain kvm1
wait 1
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
> create web2 1024 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 2 (create web2) done
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> kill
> wait 5
> controller
> then
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the controller ended while it ran
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
  migrated: web2 moved kvm1 -> kvm3, paused 40 ms
  task 5 (migrate web2) done
  drained: kvm1 is drained: 2 VMs left it
  task 3 (drain kvm1) done
> all is mended
