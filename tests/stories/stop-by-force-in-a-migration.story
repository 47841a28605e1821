# A stop by force is refused while a migration holds the VM: it is cancelled first.
create web1
then
migrate web1 kvm2
wait 1
stop web1 force
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
> stop web1 force
> then
  task 3 (stop web1) failed web1 is busy: migrate (task 2) holds it
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> all is mended
