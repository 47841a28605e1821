# A controller dies after the disk was made: the next one takes away what it left.
create web1
wait 1.07
kill
wait 5
controller
then
== told
> create web1
> wait 1.07
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
> kill
> wait 5
> controller
> then
kvm1: deleted /shared/vm-web1-UUID/disk.qcow2
kvm1: deleted /shared/vm-web1-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> all is mended
