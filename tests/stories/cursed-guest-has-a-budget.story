# A guest that is sick after every boot is treated so often, and then left to a human;
# deaths of controllers grant no more.
create web1
then
agent web1 cursed
treat web1 reset
then
wait 1000
kill
controller
wait 2000
kill
controller
wait 3000
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> agent web1 cursed
> treat web1 reset
> then
  heal level: web1 may be treated: reset
> wait 1000
  health: web1 is degraded: web: port 80 is silent, for 
  heal: web1: reboot: degraded for 3 min: web: port 80 is silent, for 3 min
  reboot: web1 was restarted on kvm1
  task 2 (reboot web1) done
  heal: web1: reset: degraded for 8 min: web: port 80 is silent, for 5 min
  reset: web1 on kvm1: reset
  task 3 (reset web1) done
> kill
> controller
> wait 2000
  health: web1 is degraded: web: port 80 is silent, for 14 min
  heal: web1: reset: degraded for 18 min: web: port 80 is silent, for 15 min
  reset: web1 on kvm1: reset
  task 4 (reset web1) done
> kill
> controller
> wait 3000
  health: web1 is degraded: web: port 80 is silent, for 47 min
> all is mended
