# A VM that somebody else runs is taken up as it is.
stranger kvm2 old1
wait 20
stop old1
then
== told
> stranger kvm2 old1
> wait 20
  adopted: old1 was found on kvm2 (running) and adopted as it is
> stop old1
> then
  stopped: old1 was stopped on kvm2
  task 1 (stop old1) done
> all is mended
> start old1, to see that it can be
  started: old1 runs on kvm2
  task 2 (start old1) done
