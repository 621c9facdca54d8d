"""The virtual board: a stock Debian kernel for arm64 in QEMU, and the cases that run on it."""


class Problem(Exception):
    """What stops the harness, in words for the person who started it."""
