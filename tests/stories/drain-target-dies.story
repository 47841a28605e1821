# The target of a drain loses its power: that VM stays where it runs and is named, the others leave.
create web1 1024 kvm1
create web2 1024 kvm1
then
drain kvm1
wait 1
off kvm2
then
wait 60
drain kvm1
then
on kvm2
wait 60
drain kvm1
then
== told
> create web1 1024 kvm1
> create web2 1024 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> off kvm2
> then
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: libvirt on kvm1: the target's QEMU is gone
  task 4 (migrate web1) failed web1 was not migrated and runs on kvm1: libvirt on kvm1: the target's QEMU is gone
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  migrated: web2 moved kvm1 -> kvm3, paused 40 ms
  task 5 (migrate web2) done
  task 3 (drain kvm1) failed 1 of 2 moves done
> wait 60
> drain kvm1
> then
  drain: kvm1 is being drained
  drain: no VM could leave kvm1, 1 stay
  task 6 (drain kvm1) failed no VM could leave kvm1, 1 stay
> on kvm2
> wait 60
  host back: kvm2 answers again, after 
  host rebooted: kvm2 was rebooted: what ran there has ended
> drain kvm1
> then
  drain: kvm1 is being drained
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 8 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 7 (drain kvm1) done
> all is mended
