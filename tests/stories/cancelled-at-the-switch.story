# A migration is cancelled when the guest is already on the other side: it has migrated, and that is said.
create web1 1024 kvm1
then
migrate web1 kvm2
wait 2.72
cancel
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 2.72
> cancel
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> all is mended
