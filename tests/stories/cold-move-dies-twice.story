# Two controllers die in one cold move, the first when the guest is down: the third starts it on the target, once.
lawless
create web1
then
migrate web1 cold
wait 1.09
kill
wait 2
killed at 45
wait 5
controller
then
start web1 kvm3
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
> migrate web1 cold
> wait 1.09
> kill
> wait 2
> killed at 45
the controller was killed while it started
> wait 5
> controller
> then
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> start web1 kvm3
> then
  task 3 (start web1) failed web1 already runs on kvm2 (running)
> all is mended
