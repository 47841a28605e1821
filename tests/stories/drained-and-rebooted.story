# A host is drained, switched off and comes back: it still takes no VMs until it is undrained.
create web1 1024 kvm1
then
drain kvm1
then
off kvm1
wait 60
on kvm1
wait 60
create web2
then
undrain kvm1
then
create web3 1024 kvm1
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> drain kvm1
> then
  drain: kvm1 is being drained
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 3 (migrate web1) done
  drained: kvm1 is drained: 1 VMs left it
  task 2 (drain kvm1) done
> off kvm1
> wait 60
  host lost: kvm1 does not answer: kvm1: the SSH connection was lost: no answer since 
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  host rebooted: kvm1 was rebooted: what ran there has ended
> create web2
> then
kvm3: made /shared/vm-web2-UUID/disk.qcow2
kvm3: made /shared/vm-web2-UUID/disk.json
kvm3: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm3
  task 4 (create web2) done
> undrain kvm1
> then
  host: kvm1 takes VMs again
> create web3 1024 kvm1
> then
kvm1: made /shared/vm-web3-UUID/disk.qcow2
kvm1: made /shared/vm-web3-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web3 was created; runs on kvm1
  task 5 (create web3) done
> all is mended
