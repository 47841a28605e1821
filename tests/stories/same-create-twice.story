# Two creates of one name at once: one makes it, the other is refused, and leaves nothing.
create web1
create web1
then
== told
> create web1
> create web1
> then
  task 1 (create web1) failed there is already a VM 'web1'
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> all is mended
