# The plug is pulled by a libvirtd that was frozen and went on: the VM's end is then said to have been asked for.
create web1
then
stop web1 force
wait 0.04
freeze kvm1
wait 90
start web1
wait 10
thaw kvm1
wait 20
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
> stop web1 force
> wait 0.04
> freeze kvm1
> wait 90
  host lost: kvm1 does not answer: kvm1: the connection to libvirt was lost; what ran there may go on: web1
  task 2 (stop web1) failed whether web1 was stopped is not known: kvm1 does not answer
> start web1
> wait 10
  task 3 (start web1) failed web1 may still run on kvm1, which does not answer: libvirt on kvm1 did not answer within 
> thaw kvm1
> wait 20
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; asked to shut down by local user: no answer yet
> start web1
> then
  started: web1 runs on kvm1
  task 4 (start web1) done
> all is mended
