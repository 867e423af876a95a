"""The control plane: opens sockets, starts the worker, passes on signals; it never touches a relayed byte.

`listeners` opens what clients connect to, `supervisor` runs the worker that accepts from it, `pidfile`
tells others its process id. Nothing here imports the data plane: workers are separate processes, and the
messages in `supervisor` are all that both sides share.
"""
