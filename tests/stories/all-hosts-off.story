# The whole room loses its power: nothing starts while nobody answers, and what ran is started again, once.
lawless
create web1 1024 kvm1
create web2 1024 kvm2
then
wait 10
off kvm1
off kvm2
off kvm3
wait 60
start web1
create web3
then
on kvm1
on kvm2
on kvm3
wait 60
then
== told
> lawless
> create web1 1024 kvm1
> create web2 1024 kvm2
> then
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm2
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> wait 10
> off kvm1
> off kvm2
> off kvm3
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since ; what ran there may go on: web2
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
> start web1
> create web3
> then
  task 3 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
  task 4 (create web3) failed none of 3 hosts can take web3
> on kvm1
> on kvm2
> on kvm3
> wait 60
  host back: kvm2 answers again, after 
  ended: web2 is no longer on kvm2: stopped; kvm2 was rebooted
  host rebooted: kvm2 was rebooted: what ran there has ended
  host back: kvm1 answers again, after 
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  autostart: web2 should run: it is started again
  started: web1 runs on kvm1
  task 5 (start web1) done
  started: web2 runs on kvm2
  task 6 (start web2) done
  host back: kvm3 answers again, after 
  host rebooted: kvm3 was rebooted: what ran there has ended
> then
> all is mended
