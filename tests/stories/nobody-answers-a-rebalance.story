# All hosts are silent: a rebalance says so, and not that all is even.
create web1
then
cut kvm1
cut kvm2
cut kvm3
wait 40
rebalance
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> cut kvm1
> cut kvm2
> cut kvm3
> wait 40
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since ; what ran there may go on: web1
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
> rebalance
> then
  task 2 (rebalance cluster) failed no host answers: nothing is known of any load
> all is mended
  host back: kvm1 answers again, after 
  host back: kvm3 answers again, after 
  host back: kvm2 answers again, after 
