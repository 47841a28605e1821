# A disk that is only out of sight is not deleted: the VM stays half deleted, and its next delete takes it away.
create web1
then
stop web1
then
delete web1
wait 0.04
unmount kvm1
wait 5
mount kvm1
wait 20
delete web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> delete web1
> wait 0.04
> unmount kvm1
> wait 5
  task 3 (delete web1) failed storage shared is not mounted on kvm1: /shared/lockspace is not there
> mount kvm1
> wait 20
> delete web1
> then
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
kvm1: deleted /shared/vm-web1-UUID/disk.json
kvm1: deleted /shared/lockspace/UUID
  deleted: web1 and its disks were deleted
  task 4 (delete web1) done
> all is mended
