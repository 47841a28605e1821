# A guest that is sick again after each boot is treated so many times, and then a human must look.
create web1
then
agent web1 cursed
treat web1 reset
wait 2400
then
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
> wait 2400
  heal level: web1 may be treated: reset
  health: web1 is degraded: web: port 80 is silent, for 
  heal: web1: reboot: degraded for 3 min: web: port 80 is silent, for 3 min
  reboot: web1 was restarted on kvm1
  task 2 (reboot web1) done
  heal: web1: reset: degraded for 8 min: web: port 80 is silent, for 5 min
  reset: web1 on kvm1: reset
  task 3 (reset web1) done
  heal: web1: reset: degraded for 18 min: web: port 80 is silent, for 15 min
  reset: web1 on kvm1: reset
  task 4 (reset web1) done
> then
> all is mended
