# The forward dies with the leader; the next one reads both hosts and tries once more.
controllers 3
create web1
then
migrate web1
wait 0.1
dies leader
then
controller
wait 20
== told
  controller: controller a leads
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1
> wait 0.1
> dies leader
> then
  controller: controller a was not heard for : dead, frozen or cut off; b has ended its life
  controller: controller b leads
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: the controller ended while it ran
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> controller
> wait 20
> all is mended
