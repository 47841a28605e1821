# A controller dies in a migration, and the source is rebooted before the next one comes: the VM is started again, once.
lawless
create web1
then
migrate web1 kvm2
wait 1
kill
off kvm1
wait 5
on kvm1
wait 10
controller
wait 30
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
> migrate web1 kvm2
> wait 1
> kill
> off kvm1
> wait 5
> on kvm1
> wait 10
> controller
> wait 30
  lost: web1 runs nowhere after its migration kvm1 -> kvm2 broke
  host rebooted: kvm1 was rebooted: what ran there has ended
  task 2 (migrate web1) failed web1 runs nowhere: the controller ended while it ran
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 3 (start web1) done
> then
> all is mended
