# A start that a dead controller asked for begins just after the next one has looked: it looks twice, and asks for no other.
create web1
then
stop web1
then
fate kvm1 create late
start web1 kvm1
wait 1
kill
wait 62
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
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> fate kvm1 create late
> start web1 kvm1
> wait 1
> kill
> wait 62
> controller
> then
  started: web1 runs on kvm1: found running after the controller's restart
  task 3 (start web1) done
> all is mended
