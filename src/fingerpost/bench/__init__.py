"""The project's experiments: fingerpost beside nginx and HAProxy, on one machine, in one run.

Words, in the order in which a run meets them:

- **work**: what is asked of a relay (`works`), in one or more *variants*.
- **peer**: a relay under measurement, or ``direct``, which is no relay at all (`peers`, `configs`).
- **stage**: one peer, freshly started, with an origin behind it and clients before it (`stage`). Every
  process of a stage is a child on a *leash*: the kernel ends it when the benchmark ends (`leash`, `process`).
- **origin** and **clients**: the load, in processes of their own (`load`, `origin`, `tunnel_client`,
  `request_client`, `bulk_client`). They check every byte; what they find is an *outcome* with its *faults*.
- **figure**: what one stage yielded for one work. **sample**: that figure, with its place in the run.
- **round**: all peers once, in turn, so that a slow minute of the machine is shared by all (`rounds`).
- **row**, **ratio**, **bar**, **aim**: what the samples come to (`report`).

What is measured is read from /proc by `procfs`: the relay's own CPU and memory, not the load's.
"""
