# The registry takes nothing while a VM migrates: the task waits for it, and what it then writes is true.
create web1
then
migrate web1 kvm2
wait 1
full
wait 20
free
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
> full
> wait 20
> free
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> all is mended
