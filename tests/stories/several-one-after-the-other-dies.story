# A command is given while nobody leads, and each leader dies with it.
controllers 3
create web1
then
stop web1
wait 0.02
dies leader
start web1
wait 9
migrate web1
wait 0.1
dies leader
wait 12
controller
then
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
> stop web1
> wait 0.02
> dies leader
> start web1
> wait 9
  controller: controller a was not heard for : dead, frozen or cut off; b has ended its life
  controller: controller b leads
  task 3 (start web1) failed web1 is busy: stop (task 2) holds it
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> migrate web1
> wait 0.1
  task 4 (migrate web1) failed web1 does not run
> dies leader
> wait 12
  controller: controller b was not heard for : dead, frozen or cut off; c has ended its life
  controller: controller c leads
> controller
> then
> wait 20
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 5 (start web1) done
