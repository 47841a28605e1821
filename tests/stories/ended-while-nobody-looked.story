# A VM is destroyed while no controller lives: the next one sees it, and says so.
create web1
then
kill
virsh kvm1 destroy web1
wait 5
controller
wait 20
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> kill
> virsh kvm1 destroy web1
> wait 5
> controller
> wait 20
  ended: web1 is no longer on kvm1: stopped; it ended by itself, or somebody ended it
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 2 (start web1) done
