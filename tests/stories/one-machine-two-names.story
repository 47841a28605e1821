# One machine does not become two hosts: each VM there would look like two copies.
create web1
then
join other=kvm1
then
wait 30
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> join other=kvm1
> then
kvm1: made /shared/lockspace/vmctl-probe-1800000001-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000001-UUID
kvm1: made /shared/.vmctl-probe-1800000001-3e37952d/probe
kvm1: deleted /shared/.vmctl-probe-1800000001-3e37952d/probe
  task 2 (host add other=kvm1) failed 1 of 1 hosts were not added
> wait 30
> all is mended
