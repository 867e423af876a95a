"""The data plane: one thread, one epoll, no asyncio; it never blocks and imports neither store nor control.

A byte's way: listener (accept) → downstream (head, route) → exchange (request, response) → upstream (dial, pool) →
tunnel (bytes both ways). Under them: connection (one socket), loop, timers, resolver, splice, tls. worker holds
what they share; mailbox is its way to the supervisor.
"""
