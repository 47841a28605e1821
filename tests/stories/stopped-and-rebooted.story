# A stopped VM stays stopped when its host is rebooted.
create web1
then
stop web1
then
off kvm1
wait 5
on kvm1
wait 90
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
> off kvm1
> wait 5
> on kvm1
> wait 90
  host rebooted: kvm1 was rebooted: what ran there has ended
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
