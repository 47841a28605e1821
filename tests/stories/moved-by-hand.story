# Somebody migrates a VM with virsh: it is found where it is, and goes on from there.
create web1
then
move web1 kvm2
wait 20
migrate web1 kvm3
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> move web1 kvm2
> wait 20
  found: web1 runs on kvm2, not on kvm1
> migrate web1 kvm3
> then
  migrated: web1 moved kvm2 -> kvm3, paused 40 ms
  task 2 (migrate web1) done
> all is mended
