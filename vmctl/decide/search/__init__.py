"""The search for plans, in arrays: the only room that knows numba.

- *State* (`state.py`): a cluster as a `SearchState` of arrays, one row for each host and VM, in an order that follows
  from what they are. Sums over hosts are kept, so that a move changes two rows and a few sums.
- *Move* (`moves.py`): one VM to one host. `fits` says what `fit.RULES` say; `spread_gain` is the fall of the score that
  `score.METRICS` say in words, times the number of hosts; tests hold both pairs together.
- *Price* (`state.costs`, `moves.price_sign`): what a move costs in the same unit. Leaving its own host costs a VM's
  price, returning refunds it. A move is worth its gain less its price.
- *Temperature* (`anneal.py`): after the steepest descent, moves, exchanges and returns are drawn at random from a fixed
  seed, and taken also where they are worth less than nothing, the less likely the colder it is; the best state seen is
  the goal.
- *Order* (`order.py`): the moves to the goal in a sequence whose every prefix is feasible, parking where VMs wait for
  each other. `spare.py` asks whether whichever host may die (N+1). `warm.py` compiles it all beforehand.
"""
