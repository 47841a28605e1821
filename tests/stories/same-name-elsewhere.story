# Somebody's VM has the name of one of ours, on another host: it is taken up under a longer one, and nothing of ours moves there.
create web1
then
stranger kvm2 web1
wait 20
migrate web1 kvm2
then
migrate web1 cold
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> stranger kvm2 web1
> wait 20
  adopted: web1-8a5006c1 was found on kvm2 (running) and adopted as it is
> migrate web1 kvm2
> then
  task 2 (migrate web1) failed web1 was not migrated: kvm2 has another domain of that name (UUID)
> migrate web1 cold
> then
  migrated: web1 moved kvm1 -> kvm3 cold; its guest took  to stop
  task 3 (migrate web1) done
> all is mended
