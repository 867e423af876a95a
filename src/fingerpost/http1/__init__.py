"""HTTP/1.1 as pure functions over bytes: no sockets, no clock.

grammar (which bytes may stand where) → head (bytes → what a head says) → framing (where a body ends) →
rewrite (what goes on to the other side) → answers (what the proxy says itself).
"""
