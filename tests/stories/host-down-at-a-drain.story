# The host that is drained loses its power: its VMs are not started elsewhere.
lawless
create web1
then
wait 5
drain kvm1
wait 1
off kvm1
wait 60
start web1
wait 5
on kvm1
wait 60
then
undrain kvm1
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> wait 5
> drain kvm1
> wait 1
  drain: kvm1 is being drained
> off kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the connection to libvirt was lost; what ran there may go on: web1
  alarm: where web1 runs is not certain; kvm1: does not answer (kvm1: no route to host); kvm2: not there
  task 3 (migrate web1) failed where web1 runs is not certain
  task 2 (drain kvm1) failed 0 of 1 moves done
> start web1
> wait 5
  task 4 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  started: web1 runs on kvm2
  task 5 (start web1) done
> then
> undrain kvm1
> all is mended
  host: kvm1 takes VMs again
