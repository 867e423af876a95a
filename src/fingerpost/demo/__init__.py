"""The demonstration: three small apps, a proxy in front of them, and a live view of what it relays.

`apps` are ordinary ASGI apps that know nothing of the proxy; `serving` runs each on a loopback port of its
own; `proxy` runs `fingerpost serve` as a child process and reads its access log; `display` shows that log.
They need the extra: ``pip install 'fingerpost[demo]'``.
"""
