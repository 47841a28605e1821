# Not long enough for the others: it goes on, and nobody has taken its place.
controllers 3
create web1
then
migrate web1
wait 0.1
freezes leader
wait 3
thaws
then
wait 10
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
> freezes leader
> wait 3
> thaws
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> wait 10
> all is mended
