# A host that gives no leases gets no VMs until it is seen to give them again; then the missing lease is taken, too.
create web1 512 kvm1
then
lose key web1
fate kvm1 create refused
wait 40
create web2 256 kvm1
then
wait 90
create web2 256 kvm1
then
== told
> create web1 512 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> lose key web1
> fate kvm1 create refused
> wait 40
  alarm: web1 runs without its lease on kvm1
kvm1: made /shared/lockspace/vmctl-probe-1800000012-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000012-UUID
  alarm: kvm1 gets no VMs: a lease cannot be taken: libvirt on kvm1: internal error: no, says the story; there: systemctl restart virtlockd libvirtd (its VMs go on)
> create web2 256 kvm1
> then
  task 2 (create web2) failed none of 1 hosts can take web2
> wait 90
kvm1: made /shared/lockspace/vmctl-probe-1800000072-UUID
kvm1: deleted /shared/lockspace/vmctl-probe-1800000072-UUID
  lease: kvm1's lock manager gives leases again
kvm1: made /shared/lockspace/UUID
  lease: web1 on kvm1: its lease was taken again
  task 3 (renew lease web1) done
> create web2 256 kvm1
> then
kvm1: made /shared/vm-web2-UUID/disk.qcow2
kvm1: made /shared/vm-web2-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web2 was created; runs on kvm1
  task 4 (create web2) done
> all is mended
