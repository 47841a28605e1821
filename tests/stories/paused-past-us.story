# Somebody pauses a VM on its host: it does not migrate, and goes on when it is asked to.
create web1
then
virsh kvm1 suspend web1
wait 12
migrate web1
then
resume web1
then
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
> virsh kvm1 suspend web1
> wait 12
  changed: web1 on kvm1 is paused (was running)
> migrate web1
> then
  task 2 (migrate web1) failed web1 is paused (by request): only a running VM migrates
> resume web1
> then
  resume: web1 on kvm1: resume
  task 3 (resume web1) done
> migrate web1
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 4 (migrate web1) done
> all is mended
