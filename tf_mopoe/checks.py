"""Numbers that are given as arguments: a ValueError that names the argument, unless they are what it takes."""

import numbers
import sys


def check_number(name, value, high=sys.float_info.max):
    """`value` as a float; a ValueError unless it is a number with 0 <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 <= float(value) <= high:
        limit = "0 or more" if high == sys.float_info.max else f"from 0 to {high:g}"
        raise ValueError(f"`{name}` must be a number, {limit}. Received: {name}={value!r}")
    return float(value)


def check_count(name, value, low=1):
    """`value` as an int; a ValueError unless it is an integer with low <= value."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"`{name}` must be an integer, {low} or more. Received: {name}={value!r}")
    return int(value)
