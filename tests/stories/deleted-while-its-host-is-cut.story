# A stopped VM is deleted while its last host is cut off, and its name is taken at once.
# Another host deletes, and the new VM is whole.
lawless
create web1
then
stop web1
then
cut kvm1
wait 30
delete web1
wait 10
create web1
heal kvm1
wait 60
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
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> cut kvm1
> wait 30
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since 
> delete web1
> wait 10
kvm2: deleted /shared/vm-web1-UUID/disk.qcow2
kvm2: deleted /shared/vm-web1-UUID/disk.json
kvm2: deleted /shared/lockspace/UUID
  deleted: web1 and its disks were deleted
  task 3 (delete web1) done
> create web1
> heal kvm1
> wait 60
kvm2: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm2
  task 4 (create web1) done
  host back: kvm1 answers again, after 
> then
> all is mended
