# An image stays while a VM's disk is built on it.
create web1
then
unimage tiny
then
stop web1
then
start web1
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> unimage tiny
> then
  task 2 (image remove tiny) failed disks of web1 are built on image tiny
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 3 (stop web1) done
> start web1
> then
  started: web1 runs on kvm1
  task 4 (start web1) done
> all is mended
