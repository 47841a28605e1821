# A guest is sick and is moved: it is not treated in the middle of it.
create web1
then
agent web1 well
treat web1 reset
then
wait 30
agent web1 sick
wait 178
migrate web1 kvm2
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
> then
  heal level: web1 may be treated: reset
> wait 30
> agent web1 sick
> wait 178
  health: web1 is degraded: web: port 80 is silent, for 
> migrate web1 kvm2
> then
  migrated: web1 moved kvm1 -> kvm2, paused 40 ms
  task 2 (migrate web1) done
> wait 60
  heal: web1: reboot: degraded for 3 min: web: port 80 is silent, for 
  reboot: web1 was restarted on kvm2
  task 3 (reboot web1) done
  health: web1 is well: web in order
> all is mended
