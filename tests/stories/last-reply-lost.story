# The target's last reply is lost: libvirt says failed, and the VM runs there. Without locks, too.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
then
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate kvm1 finish unanswered
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, its pause was not measured
  task 2 (migrate web1) done
> all is mended
