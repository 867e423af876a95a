"""What is asked of the relays: the published experiments and our own, each a function of its parameters.

`experiment` says what one is; `published` has those of the published comparison (``capacity``, ``servers``,
``clients``), `websockets` those with WebSockets that are ours (``messages``, ``connects``, ``tunnels``, ``memory``),
`http` those without (``requests``, ``bulk``), `command_line` the one that has no relay (``seal``).
"""
