# A drain whose controller dies goes on under the next one, until the host is empty.
create web1
create web2
then
drain kvm1
wait 1
kill
wait 3
controller
then
undrain kvm1
== told
> create web1
> create web2
> then
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm2
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> kill
> wait 3
> controller
> then
  migration failed: kvm1 -> kvm3: web1 was not migrated and runs on kvm1: the controller ended while it ran
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 4 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 3 (drain kvm1) done
> undrain kvm1
> all is mended
  host: kvm1 takes VMs again
