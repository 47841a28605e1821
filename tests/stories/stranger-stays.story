# An adopted VM whose disk only its host has does not move; stopped, it starts where it was.
stranger kvm2 old1
wait 20
migrate old1 kvm3
then
stop old1
then
start old1
then
== told
> stranger kvm2 old1
> wait 20
  adopted: old1 was found on kvm2 (running) and adopted as it is
> migrate old1 kvm3
> then
  task 1 (migrate old1) failed none of 1 hosts can take old1
> stop old1
> then
  stopped: old1 was stopped on kvm2
  task 2 (stop old1) done
> start old1
> then
  started: old1 runs on kvm2
  task 3 (start old1) done
> all is mended
