# A disk that comes after its half-made VM was deleted: the delete has said where to look.
fate * create_volume late
create web1
then
delete web1
then
== told
> fate * create_volume late
> create web1
> then
  task 1 (create web1) failed libvirt on kvm1 did not answer within 
> delete web1
> then
  deleted: web1 and its disks were deleted; a host that gave no answer may still make files in /shared/vm-web1-UUID: look there later
  task 2 (delete web1) done
> all is mended
kvm1: made /shared/vm-web1-UUID/disk.qcow2
