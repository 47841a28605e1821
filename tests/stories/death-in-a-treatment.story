# A controller dies while it reboots a sick guest: it is rebooted once.
create web1
then
agent web1 well
treat web1 reset
then
wait 30
agent web1 sick
wait 181.5
kill
wait 5
controller
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
> then
  heal level: web1 may be treated: reset
> wait 30
> agent web1 sick
> wait 181.5
  health: web1 is degraded: web: port 80 is silent, for 
  heal: web1: reboot: degraded for 3 min: web: port 80 is silent, for 3 min
> kill
> wait 5
> controller
> wait 60
  reboot: web1 was restarted on kvm1
  task 2 (reboot web1) done
> all is mended
