# The successor of a stop meets a host that stands still: it says what is not known, and the end is no surprise.
create web1
then
stop web1
wait 0.5
kill
freeze kvm1
controller
wait 60
thaw kvm1
then
wait 30
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
> freeze kvm1
> controller
> wait 60
  host lost: kvm1 does not answer: libvirt on kvm1 did not answer within ; what ran there may go on: web1
> thaw kvm1
> then
  task 2 (stop web1) failed whether web1 was stopped is not known: kvm1 does not answer: libvirt on kvm1 did not answer within 
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; asked to shut down by local user: no answer yet
> wait 30
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
