"""Ports for servers that must be given a number. What can choose its own binds port 0 and says which it got."""

import random


class Taken(Exception):
    """A port was in use: with what the server printed."""


def attempt(count, start, tries=5):
    """What `start` returns of `count` ports; with other ones where it raises `Taken`.

    Not from the system's range of outgoing connections, and not by the seed of the tests, which is that of all processes.
    """
    for _ in range(tries):
        try:
            return start(random.SystemRandom().sample(range(20000, 32000), count))
        except Taken as error:
            taken = error
    raise taken


def check(output):
    """A server that ended with this output: `Taken`, or an AssertionError."""
    if "ddress already in use" in output or "address in use" in output:
        raise Taken(output)
    raise AssertionError(output)
