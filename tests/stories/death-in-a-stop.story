# A controller dies while a guest shuts down: the next one sees it through.
create web1
then
stop web1
wait 0.5
kill
wait 3
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
> stop web1
> wait 0.5
> kill
> wait 3
> controller
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
