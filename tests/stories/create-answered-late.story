# A disk that is made after everybody gave up belongs to a VM that is still known.
fate * create_volume late
create web1
then
wait 10
delete web1
then
== told
> fate * create_volume late
> create web1
> then
  task 1 (create web1) failed libvirt on kvm1 did not answer within 
> wait 10
kvm1: made /shared/vm-web1-UUID/disk.qcow2
> delete web1
> then
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
  deleted: web1 and its disks were deleted; a host that gave no answer may still make files in /shared/vm-web1-UUID: look there later
  task 2 (delete web1) done
> all is mended
