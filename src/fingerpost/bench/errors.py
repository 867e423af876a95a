"""What can go wrong with a measurement; each costs one sample, not the run."""

from fingerpost.errors import FingerpostError


class BenchError(FingerpostError):
    """A measurement that could not be made; the message says why, for the table."""


class RelayError(BenchError):
    """It is the relay's fault: it did not start, or not do what it has to."""
