"""The data plane: one thread, one epoll, no asyncio; it never blocks and imports neither store nor control.

A byte's way: listener (accept) → downstream (head, route) → exchange (request) → upstream (dial, pool) →
response → outcome (how it ended), or tunnel (bytes both ways). Under them: connection (one socket), bulk and splice
(long bodies), loop, timers, resolver, tls, access_log. worker holds what they share;
mailbox is its way to the supervisor. When another worker takes its place: handover, parcel, courier.
"""
