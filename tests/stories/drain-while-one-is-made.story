# A VM is being made on a host that is drained: the drain waits until it is, and moves it. Drained is a host with no VM.
create web1 1024 kvm1
wait 1.05
drain kvm1
then
== told
> create web1 1024 kvm1
> wait 1.05
> drain kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
  drain: kvm1 is being drained
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 3 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 2 (drain kvm1) done
> all is mended
