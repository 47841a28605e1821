# Two of three hosts are cut off at once: their VMs are not started on the third, whose own obey.
lawless
create web1 1024 kvm1
create web2 1024 kvm2
create web3 1024 kvm3
then
cut kvm1
cut kvm2
wait 60
start web1 kvm3
start web2 kvm3
stop web3
then
heal kvm1
heal kvm2
wait 30
== told
> lawless
> create web1 1024 kvm1
> create web2 1024 kvm2
> create web3 1024 kvm3
> then
kvm3: made /shared/vm-web3-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm2: made /shared/vm-web2-UUID/disk.qcow2
kvm3: made /shared/vm-web3-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm2: made /shared/vm-web2-UUID/disk.json
kvm3: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
kvm2: made /shared/lockspace/UUID
  created: web3 was created; runs on kvm3
  task 3 (create web3) done
  created: web1 was created; runs on kvm1
  created: web2 was created; runs on kvm2
  task 1 (create web1) done
  task 2 (create web2) done
> cut kvm1
> cut kvm2
> wait 60
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since ; what ran there may go on: web2
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
> start web1 kvm3
> start web2 kvm3
> stop web3
> then
  task 5 (start web2) failed web2 may still run on kvm2, which does not answer: kvm2: no route to host
  task 4 (start web1) failed web1 may still run on kvm1, which does not answer: kvm1: no route to host
  stopped: web3 was stopped on kvm3
  task 6 (stop web3) done
> heal kvm1
> heal kvm2
> wait 30
  host back: kvm2 answers again, after 
  host back: kvm1 answers again, after 
> all is mended
> start web3, to see that it can be
  started: web3 runs on kvm3
  task 7 (start web3) done
