"""How many descriptors a relay may have here."""

import resource


def descriptors() -> int:
    """The hard limit: the leash raises each relay's soft one to it."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1_000_000)
