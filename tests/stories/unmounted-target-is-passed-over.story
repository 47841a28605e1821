# The best target has not mounted the storage: another one is taken.
create web1
then
unmount kvm2
migrate web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> unmount kvm2
> migrate web1
> then
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 2 (migrate web1) done
> all is mended
