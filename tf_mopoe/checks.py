"""Arguments of simple types: a ValueError that names the argument, unless it is one that is taken.

NumPy's numbers are numbers, True and False are none.
"""

import math
import numbers
import os
import sys

import numpy as np

MOST = 2**31 - 1  # an index of TensorFlow's, int32


def is_number(value, high=sys.float_info.max):
    """Return whether it is a finite number with 0 <= value <= high."""
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0.0 <= float(value) <= high
    except OverflowError:  # an int beyond all floats
        return False


def is_integer(value, low=-math.inf):
    """Return whether it is an integer with low <= value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= low


def check_number(name, value, high=sys.float_info.max):
    """Return `value` as a float; raise a ValueError unless it is a number with 0 <= value <= high."""
    if not is_number(value, high):
        limit = "0 or more" if high == sys.float_info.max else f"from 0 to {high:g}"
        raise ValueError(f"`{name}` must be a number, {limit}. Received: {name}={as_text(value)}")
    return float(value)


def check_integer(name, value, low=-math.inf):
    """Return `value` as an int; raise a ValueError unless it is an integer with low <= value."""
    if not is_integer(value, low):
        limit = "" if low == -math.inf else f", {low} or more"
        raise ValueError(f"`{name}` must be an integer{limit}. Received: {name}={as_text(value)}")
    return int(value)


def check_count(name, value, low=1):
    """Check an integer that counts something, as `check_integer`: no more than a tensor can have."""
    if is_integer(value, low) and value > MOST:
        raise ValueError(f"`{name}` must be {MOST} at most. Received: {name}={as_text(value)}")
    return check_integer(name, value, low)


def as_array(name, value):
    """Return `value` as a NumPy array; raise a ValueError for lists of unlike lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array. Received: {type(value).__name__}, {error}") from error


def check_choice(name, value, choices):
    """Return `value`; raise a ValueError unless it is one of the choices, strings or None."""
    if not isinstance(value, str | None) or value not in choices:
        *most, last = map(as_quoted, choices)
        raise ValueError(f"`{name}` must be {', '.join(most)} or {last}. Received: {name}={value!r}")
    return value


def as_text(value):
    """Return `repr`, but the size of an int that is too long for it."""
    try:
        return repr(value)
    except ValueError:
        return f"an integer of {value.bit_length()} bits"


def as_quoted(choice):
    return "None" if choice is None else f'"{choice}"'


def check_path(name, value):
    """Return `value`; raise a ValueError unless it is a path, a string or a `pathlib.Path`."""
    if not isinstance(value, str | os.PathLike) or "\0" in os.fspath(value):
        raise ValueError(f"`{name}` must be a path. Received: {name}={value!r}")
    return value
