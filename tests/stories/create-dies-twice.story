# Two controllers die in one create; the third takes away what they left.
create web1
wait 1.07
kill
wait 1
killed at 30
wait 5
controller
then
== told
> create web1
> wait 1.07
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
> kill
> wait 1
> killed at 30
the controller was killed while it started
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
