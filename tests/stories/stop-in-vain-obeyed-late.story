# A guest obeys after the stop has given up: it stays off, as that was the last wish.
create web1
then
guest web1 deaf
stop web1
wait 200
then
guest web1 obeys
guest web1 ends
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 deaf
> stop web1
> wait 200
  task 2 (stop web1) failed web1 did not shut down within ; it still runs on kvm1
> then
> guest web1 obeys
> guest web1 ends
> wait 60
  ended: web1 is no longer on kvm1: stopped; asked to shut down by local user, in vain
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
