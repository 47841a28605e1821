# libvirtd does a start, and stands still before it says so: the start ends as not known, and nothing starts elsewhere.
lawless
create web1 1024 kvm1
then
stop web1
then
start web1 kvm1
wait 0.045
freeze kvm1
wait 30
start web1 kvm2
wait 60
start web1 kvm2
wait 40
thaw kvm1
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
> stop web1
> then
  stopped: web1 was stopped on kvm1
  task 2 (stop web1) done
> start web1 kvm1
> wait 0.045
> freeze kvm1
> wait 30
  host lost: kvm1 does not answer: kvm1: the connection to libvirt was lost; what ran there may go on: web1
> start web1 kvm2
> wait 60
  task 4 (start web1) failed web1 is busy: start (task 3) holds it
  task 3 (start web1) failed whether web1 was started on kvm1 is not known
> start web1 kvm2
> wait 40
  task 5 (start web1) failed web1 may still run on kvm1, which does not answer: libvirt on kvm1 did not answer within 
> thaw kvm1
> wait 30
  host back: kvm1 answers again, after 
  changed: web1 on kvm1 is running (was unknown)
> then
> all is mended
