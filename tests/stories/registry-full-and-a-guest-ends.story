# A guest ends while the registry takes nothing: that is written down as soon as it does.
create web1 1024 kvm1
then
full
guest web1 ends
wait 30
free
wait 20
start web1
then
== told
> create web1 1024 kvm1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> full
> guest web1 ends
> wait 30
> free
> wait 20
  ended: web1 is no longer on kvm1: stopped; it ended by itself, or somebody ended it
> start web1
> then
  started: web1 runs on kvm1
  task 2 (start web1) done
> all is mended
