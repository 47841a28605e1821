# A host that is rebooted in good order ends its guests first: they are wanted as before, and started again.
create web1
then
guest web1 ends
wait 10
off kvm1
wait 30
on kvm1
wait 60
then
== told
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> guest web1 ends
> wait 10
  ended: web1 is no longer on kvm1: stopped; it ended by itself, or somebody ended it
> off kvm1
> wait 30
  host lost: kvm1 does not answer: kvm1: the connection to libvirt was lost
> on kvm1
> wait 60
  host back: kvm1 answers again, after 
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  started: web1 runs on kvm1
  task 2 (start web1) done
> then
> all is mended
