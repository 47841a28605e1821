# A cold move that finds somebody's half-made copy on its target has moved nothing.
seed 2
create web1
wait 290
migrate web1 cold
wait 0.033
move web1 kvm2
wait 20
== told
> create web1
> wait 290
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 cold
> wait 0.033
> move web1 kvm2
> wait 20
  task 2 (migrate web1) failed web1 was not moved: somebody migrates it to kvm2
  found: web1 runs on kvm2, not on kvm1
> all is mended
