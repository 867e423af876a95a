"""The control plane: opens sockets, starts workers, passes on signals; it never touches a relayed byte.

`listeners` opens what clients connect to. `supervisor` does what signals ask for with a `crew` of workers, each a
`worker` process at the other end of a `channel`, with `orders` that follow from a `plan`. They count clients in the
memory of `tally`. `keywatch` notices new keys, `pidfile` tells others the process id, `commands` answers
`fingerpost status` and its like at a `place` of its own, `upgrade` lets a new version take over, `systemd` speaks with
the service manager, `privileges` gives root up. Nothing here imports the data plane: workers are separate
processes, and the messages written down in `worker` are all that both sides share.
"""
