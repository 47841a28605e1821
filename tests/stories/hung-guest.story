# A guest that hangs is reset, where its owner allows that; a power button would not help.
create web1
then
agent web1 well
treat web1 reset
wait 30
agent web1 hung
wait 600
then
wait 60
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> agent web1 well
> treat web1 reset
> wait 30
  heal level: web1 may be treated: reset
> agent web1 hung
> wait 600
  health: web1 is silent: nothing heard for 
  health: web1 is hung: nothing heard for 2 min, and no disk or network use for 2 min
  heal: web1: reset: hung for 3 min: nothing heard for 5 min, and no disk or network use for 5 min
  reset: web1 on kvm1: reset
  task 2 (reset web1) done
  health: web1 is well: web in order
> then
> wait 60
> all is mended
