# A cold move keeps its place on the target while its guest takes its time: nobody else gets it.
create web1 2000 kvm1
then
guest web1 deaf
migrate web1 cold
wait 5
create web2 2000 kvm2
wait 1
guest web1 obeys
then
== told
> create web1 2000 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 deaf
> migrate web1 cold
> wait 5
> create web2 2000 kvm2
> wait 1
  task 3 (create web2) failed none of 1 hosts can take web2
> guest web1 obeys
> then
  migrated: web1 moved kvm1 -> kvm2 cold; its guest took  to stop
  task 2 (migrate web1) done
> all is mended
