# Another controller takes a delete over: the disks go once, and nothing is left to nobody.
create web1
then
stop web1
then
deposed at 25
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
> deposed at 25
> delete web1
> then
another controller takes over
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
kvm1: deleted /shared/vm-web1-UUID/disk.json
kvm1: deleted /shared/lockspace/UUID
  deleted: web1 and its disks were deleted
  task 3 (delete web1) done
> all is mended
