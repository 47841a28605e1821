# Its guest ends while it migrates: it is stopped, on no host.
create web1
then
migrate web1 kvm2
wait 1
guest web1 ends
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> migrate web1 kvm2
> wait 1
> guest web1 ends
> then
  lost: web1 ended on kvm1 while it migrated to kvm2: it shut down, or somebody ended it
  task 2 (migrate web1) failed web1 runs nowhere: libvirt on kvm1: operation failed: domain is not running any more
> all is mended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 3 (start web1) done
