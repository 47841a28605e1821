# A stopped VM does not start on a host that is being drained, also not where it last ran: without a name another host takes it.
create web1 1024 kvm1
create web2 1024 kvm1
then
stop web2
then
drain kvm1
start web2 kvm1
then
start web2
then
== told
> create web1 1024 kvm1
> create web2 1024 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> stop web2
> then
  stopped: web2 was stopped on kvm1
  task 3 (stop web2) done
> drain kvm1
> start web2 kvm1
> then
  drain: kvm1 is being drained
  task 5 (start web2) failed none of 1 hosts can take web2
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 6 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 4 (drain kvm1) done
> start web2
> then
  started: web2 runs on kvm3
  task 7 (start web2) done
> all is mended
