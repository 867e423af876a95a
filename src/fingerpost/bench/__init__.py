"""The project's experiments: fingerpost beside other relays, on one machine, in one run.

Words, in the order in which a run meets them:

- **experiment**: what is asked of a relay, at one or more **points**: numbers on an axis, or variants (`experiments`).
- **needs**: what the load takes of this machine, checked before anything starts (`needs`).
- **peer**: a relay under measurement, or ``direct``, which is no relay at all (`peers`; those that are written here lie
  in ``relays``).
- **stage**: one peer, freshly started, with apps behind it and clients before it (`stage`). Every process of a stage
  is a child on a *leash*: the kernel ends it when the benchmark ends (`leash`, `process`).
- **load**: the apps (**origins**) and the clients, in processes of their own (`load`). They check every byte; what they
  find is an *outcome* with its *faults*.
- **figure**: a number read off a stage, by name (`run.FIGURES`): what a phase cost is metered by `meter` from what the
  kernel says in /proc (`procfs`).
- **sample**: the figures and faults of one peer at one point in one **round**. In a round all peers have their turns
  one after the other, so that a slow minute of the machine is shared by all (`rounds`, `progress`).
- **run**: all samples with their **context** (`run`, `context`); tables, plots, reports and comparisons are made from
  it (`results`).
"""
