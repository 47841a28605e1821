# A migration's last reply is lost and its target frozen; the paused source is stopped by force.
# The copy may run, so nothing is started, and nothing deleted.
lawless
create web1
then
fate kvm1 finish unanswered
migrate web1 kvm2
wait 4
freeze kvm2
wait 60
stop web1 force
wait 5
start web1 kvm3
wait 10
delete web1
wait 10
thaw kvm2
wait 60
then
== told
> lawless
> create web1
> then
kvm1: made /shared/vm-web1-UUID/disk.qcow2
kvm1: made /shared/vm-web1-UUID/disk.json
kvm1: made /shared/lockspace/UUID
  created: web1 was created; runs on kvm1
  task 1 (create web1) done
> fate kvm1 finish unanswered
> migrate web1 kvm2
> wait 4
> freeze kvm2
> wait 60
  host lost: kvm2 does not answer: kvm2: the connection to libvirt was lost
  alarm: where web1 runs is not certain; kvm1: paused (migrating); kvm2: does not answer (kvm2: the connection to libvirt was lost)
  task 2 (migrate web1) failed where web1 runs is not certain
> stop web1 force
> wait 5
  stopped: web1 was stopped on kvm1
  task 3 (stop web1) failed web1 was stopped on kvm1, and may still run on kvm2
> start web1 kvm3
> wait 10
  task 4 (start web1) failed web1 may still run on kvm2, which does not answer: libvirt on kvm2 did not answer within 
> delete web1
> wait 10
  task 5 (delete web1) failed web1 may still run on kvm2, which does not answer: libvirt on kvm2 did not answer within 
> thaw kvm2
> wait 60
  host back: kvm2 answers again, after 
  found: web1 runs on kvm2, which is back
> then
> all is mended
