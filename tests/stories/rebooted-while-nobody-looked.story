# A host is rebooted while no controller lives: the next one sees another boot, and starts what ran there.
create web1
then
kill
off kvm1
wait 5
on kvm1
wait 60
controller
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> kill
> off kvm1
> wait 5
> on kvm1
> wait 60
> controller
> wait 60
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 2 (start web1) done
> all is mended
