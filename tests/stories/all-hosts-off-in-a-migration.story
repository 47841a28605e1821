# All hosts lose their power in a migration, and the source comes back last: the VM does not start before that.
lawless
create web1
then
migrate web1 kvm2
wait 1
off kvm1
off kvm2
off kvm3
wait 60
on kvm2
on kvm3
wait 60
start web1 kvm2
wait 10
on kvm1
wait 60
then
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> off kvm1
> off kvm2
> off kvm3
> wait 60
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  alarm: where web1 runs is not certain; kvm1: does not answer (kvm1: no route to host); kvm2: does not answer (kvm2: no route to host)
  task 2 (migrate web1) failed where web1 runs is not certain
> on kvm2
> on kvm3
> wait 60
  host back: kvm2 answers again, after 
  host rebooted: kvm2 was rebooted: what ran there has ended
  host back: kvm3 answers again, after 
  host rebooted: kvm3 was rebooted: what ran there has ended
> start web1 kvm2
> wait 10
  task 3 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 4 (start web1) done
> then
> all is mended
