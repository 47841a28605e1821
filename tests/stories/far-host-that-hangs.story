# A host where a VM never was hangs: a start asks it, and does not wait for it as long as for one that may run the VM.
create web1
then
stop web1
then
freeze kvm3
start web1 kvm1
wait 12
pause web1
wait 60
thaw kvm3
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
> freeze kvm3
> start web1 kvm1
> wait 12
  started: web1 runs on kvm1
  task 3 (start web1) done
> pause web1
> wait 60
  pause: web1 on kvm1: pause
  task 4 (pause web1) done
  host lost: kvm3 does not answer: kvm3: the connection to libvirt was lost
> thaw kvm3
> then
> all is mended
  host back: kvm3 answers again, after 
