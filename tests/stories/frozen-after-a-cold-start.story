# libvirtd of a cold move's target stands still in the start: where it came from does not start it, as it may run there.
lawless
create web1 1024 kvm1
then
migrate web1 cold
wait 1.13
freeze kvm2
wait 30
start web1 kvm3
wait 60
thaw kvm2
wait 30
then
== told
> lawless
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 cold
> wait 1.13
> freeze kvm2
> wait 30
  host lost: kvm2 does not answer: kvm2: the connection to libvirt was lost; what ran there may go on: web1
> start web1 kvm3
> wait 60
  task 3 (start web1) failed web1 is busy: migrate (task 2) holds it
  task 2 (migrate web1) failed whether web1 was started on kvm2 is not known
> thaw kvm2
> wait 30
  host back: kvm2 answers again, after 
  changed: web1 on kvm2 is running (was unknown)
> then
> all is mended
