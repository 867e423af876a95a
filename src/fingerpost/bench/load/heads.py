"""Heads of HTTP messages, as the load's servers and clients look at them."""


def fields(head: bytes) -> dict[bytes, bytes]:
    """The fields of a head by their names in lower case; of one that comes twice, the last."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}
