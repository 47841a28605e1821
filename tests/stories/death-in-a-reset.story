# A controller dies in a reset. Whether the button was pressed is not seen, so it is not pressed again.
create web1
then
killed at 22
reset web1
wait 5
controller
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> killed at 22
> reset web1
> wait 5
> controller
  task 2 (reset web1) failed the controller ended while it ran, in step 'reset'
> then
> all is mended
