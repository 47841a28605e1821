# A guest that is sick is left to its own repair for a while, then booted anew; one that is well is left alone.
create web1
then
agent web1 well
treat web1 reset
wait 300
agent web1 sick
wait 100
agent web1 well
wait 200
agent web1 sick
wait 300
then
wait 400
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
> wait 300
  heal level: web1 may be treated: reset
> agent web1 sick
> wait 100
  health: web1 is degraded: web: port 80 is silent, for 
> agent web1 well
> wait 200
  health: web1 is well: web in order
> agent web1 sick
> wait 300
  health: web1 is degraded: web: port 80 is silent, for 
  heal: web1: reboot: degraded for 3 min: web: port 80 is silent, for 3 min
  reboot: web1 was restarted on kvm1
  task 2 (reboot web1) done
  health: web1 is well: web in order
> then
> wait 400
> all is mended
