# A file that a host was asked for before it was cut off comes when that is over: the create that is undone is half made.
seed 514
create web1
then
migrate web1
create web2
wait 0.042
deposed at 8
cut kvm2
wait 40
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1
> create web2
> wait 0.042
kvm2: made /shared/vm-web2-UUID/disk.qcow2
> deposed at 8
> cut kvm2
> wait 40
another controller takes over
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 2 (migrate web1) done
  host lost: kvm2 does not answer: kvm2: no route to host; what ran there may go on: web2
kvm1: deleted /shared/vm-web2-UUID/disk.qcow2
  task 3 (create web2) failed web2 was not created: the controller ended first
> all is mended
kvm2: made /shared/vm-web2-UUID/disk.json
  host back: kvm2 answers again, after 
  host lost: kvm2 does not answer: kvm2: no route to host
  host back: kvm2 answers again, after 
