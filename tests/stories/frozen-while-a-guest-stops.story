# libvirtd freezes while a guest shuts down: the stop ends with what is seen afterwards.
create web1
then
stop web1
wait 0.1
freeze kvm1
wait 40
thaw kvm1
wait 30
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
> wait 0.1
> freeze kvm1
> wait 40
  host lost: kvm1 does not answer: kvm1: the connection to libvirt was lost; what ran there may go on: web1
> thaw kvm1
> wait 30
  host back: kvm1 answers again, after 
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> then
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
