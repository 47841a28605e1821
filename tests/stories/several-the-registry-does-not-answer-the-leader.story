# It reaches the hosts and not the registry: it begins nothing more, another one goes on, and its life has ended.
controllers 3
create web1
then
migrate web1
wait 0.1
severed leader
wait 20
stop web1
wait 5
joined
then
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
> severed leader
> wait 20
  controller: controller a was not heard for : dead, frozen or cut off; b has ended its life
  controller: controller b leads
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> stop web1
> wait 5
  stopped: web1 was stopped on kvm2
  task 3 (stop web1) done
> joined
> then
> all is mended
a ends: its life was ended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 4 (start web1) done
