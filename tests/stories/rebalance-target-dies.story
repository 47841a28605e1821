# The target of a rebalance loses its power: the VM stays, and the next rebalance takes another host.
create web1 1024 kvm1
create web2 1024 kvm1
then
wait 30
rebalance
wait 1
off kvm2
then
wait 60
rebalance
then
== told
> create web1 1024 kvm1
> create web2 1024 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 1 (create web2) done
  created: web1 was created; runs on kvm1
  task 2 (create web1) done
> wait 30
> rebalance
> wait 1
> off kvm2
> then
  migration failed: kvm1 -> kvm2: web1 was not migrated and runs on kvm1: libvirt on kvm1: the target's QEMU is gone
  task 4 (migrate web1) failed web1 was not migrated and runs on kvm1: libvirt on kvm1: the target's QEMU is gone
  task 3 (rebalance cluster) failed 0 of 1 moves done
> wait 60
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
> rebalance
> then
  migrated: web1 moved kvm1 -> kvm3, paused 40 ms
  task 6 (migrate web1) done
  task 5 (rebalance cluster) done
> all is mended
  host back: kvm2 answers again, after 
  host rebooted: kvm2 was rebooted: what ran there has ended
