# A delete that breaks in the middle leaves a VM that says so, is not started, and can be deleted.
create web1
then
stop web1
then
fate kvm1 delete_volume late
delete web1
then
start web1
then
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
> fate kvm1 delete_volume late
> delete web1
> then
  task 3 (delete web1) failed libvirt on kvm1 did not answer within 
> start web1
> then
  task 4 (start web1) failed web1 was not started: it is half deleted: a delete of it has not ended
> delete web1
> then
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
kvm1: deleted /shared/vm-web1-UUID/disk.json
kvm1: deleted /shared/lockspace/UUID
  deleted: web1 and its disks were deleted
  task 5 (delete web1) done
> all is mended
