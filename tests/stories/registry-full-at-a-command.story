# The registry takes nothing: commands are not accepted, as they could be lost, and nothing is done.
create web1 1024 kvm1
then
full
stop web1
create web2
wait 10
free
stop web1
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> full
> stop web1
> create web2
> wait 10
  not accepted: the registry's disk is full
  not accepted: the registry's disk is full
> free
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
