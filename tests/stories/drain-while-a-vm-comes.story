# A VM is on its way to a host that is drained: the drain waits for it, and sends it on. Drained is a host with no VM.
create web1 1024 kvm1
then
migrate web1 kvm2
wait 1
drain kvm2
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
> wait 1
> drain kvm2
> then
  drain: kvm2 is being drained
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
  migrated: web1 moved kvm2 -> kvm1, paused 40 ms
  task 4 (migrate web1) done
  drained: kvm2 is drained: 1 VMs left it
  task 3 (drain kvm2) done
> all is mended
