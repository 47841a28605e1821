# An image that a VM is made from is not removed; and it is once that VM is gone.
create web1
then
unimage tiny
then
stop web1
then
delete web1
then
unimage tiny
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> unimage tiny
> then
  task 2 (image remove tiny) failed disks of web1 are built on image tiny
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 3 (stop web1) done
> delete web1
> then
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
kvm1: deleted /shared/vm-web1-UUID/disk.json
kvm1: deleted /shared/lockspace/UUID
  deleted: web1 and its disks were deleted
  task 4 (delete web1) done
> unimage tiny
> then
kvm1: deleted /shared/image-tiny-0000/disk.qcow2
  image: image tiny was deleted
  task 5 (image remove tiny) done
> all is mended
