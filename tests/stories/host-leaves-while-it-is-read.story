# A host that leaves forgets the VMs that were adopted there; whoever still reads it adopts none of them again.
seed 20180067
create web1
stranger kvm1 old1
then
stop old1
deposed at 85
wait 5
leave kvm1 force
then
== told
> create web1
> stranger kvm1 old1
> then
  adopted: old1 was found on kvm1 (running) and adopted as it is
kvm2: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm2
  task 1 (create web1) done
> stop old1
> deposed at 85
> wait 5
  stopped: old1 was stopped on kvm1
  task 2 (stop old1) done
> leave kvm1 force
> then
another controller takes over
  task 3 (host remove kvm1) failed the controller ended while it ran, in step ''
> all is mended
> start old1, to see that it can be
  started: old1 runs on kvm1
  task 4 (start old1) done
