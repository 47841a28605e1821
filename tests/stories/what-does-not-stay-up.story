# A VM that its host's reboot ended is started again so many times, and then a human must look.
create web1 2000
then
off kvm2
off kvm3
wait 20
fate kvm1 create refused
fate kvm1 create refused
fate kvm1 create refused
fate kvm1 create refused
fate kvm1 create refused
off kvm1
wait 5
on kvm1
wait 2000
then
== told
> create web1 2000
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> off kvm2
> off kvm3
> wait 20
  host lost: kvm2 does not answer: kvm2: the SSH connection was lost: no answer since 
  host lost: kvm3 does not answer: kvm3: the SSH connection was lost: no answer since 
> fate kvm1 create refused
> fate kvm1 create refused
> fate kvm1 create refused
> fate kvm1 create refused
> fate kvm1 create refused
> off kvm1
> wait 5
> on kvm1
> wait 2000
  ended: web1 is no longer on kvm1: stopped; kvm1 was rebooted
  host rebooted: kvm1 was rebooted: what ran there has ended
  autostart: web1 should run: it is started again
  task 2 (start web1) failed web1 was not started on kvm1: libvirt on kvm1: internal error: no, says the story
  autostart: web1 should run: it is started again in , as its last start did not help
  autostart: web1 should run: it is started again
  task 3 (start web1) failed web1 was not started on kvm1: libvirt on kvm1: internal error: no, says the story
  autostart: web1 should run: it is started again in 5 min, as its last start did not help
  autostart: web1 should run: it is started again
  task 4 (start web1) failed web1 was not started on kvm1: libvirt on kvm1: internal error: no, says the story
  autostart: web1 is not started again: 3 starts in an hour did not help; vmctl start web1
> then
> all is mended
  host back: kvm3 answers again, after 
  host rebooted: kvm3 was rebooted: what ran there has ended
  host back: kvm2 answers again, after 
  host rebooted: kvm2 was rebooted: what ran there has ended
> start web1, to see that it can be
  started: web1 runs on kvm1
  task 5 (start web1) done
