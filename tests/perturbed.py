"""A processor that rounds differently: TensorFlow whose approximate operations are off by a unit in the last place.

`operations()` is a context; `pytest --perturb` runs the whole suite in it. What differs between real processors, or between
eager calls, graphs and batches of another size on one, differs here too: whether a number is moved up or down depends on the
operation, the place in the last axis, the size of the result, and on whether it is computed eagerly. It depends on nothing
else, so that the same work still has the same bits. Zeros stay zeros. 1 / sqrt(1) is 0.99999988, as on an Intel Xeon.
"""

import contextlib
import functools
import sys
import types
import zlib

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import gen_linalg_ops, gen_math_ops, gen_nn_ops

MODULES = {
    gen_math_ops: "rsqrt sqrt reciprocal inv real_div div_no_nan exp expm1 log log1p tanh sigmoid erf _pow mat_mul "
    "batch_mat_mul batch_mat_mul_v2 batch_mat_mul_v3",
    gen_nn_ops: "softplus softmax log_softmax softmax_cross_entropy_with_logits conv2d conv2d_backprop_input "
    "conv2d_backprop_filter",
    gen_linalg_ops: "einsum",
}
SIZES, MOST = 101, 4096


@contextlib.contextmanager
def operations():
    """All of TensorFlow's modules, and those that took the functions from them, call the perturbed ones."""
    new = {}
    for module, names in MODULES.items():
        for name in names.split():
            function = getattr(module, name)
            new[id(function)] = perturbed(function)
    replaced = []
    for module in [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]:
        for name, value in list(vars(module).items()):
            if id(value) in new:
                replaced.append((module, name, value))
                setattr(module, name, new[id(value)])
    try:
        yield
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)


def perturbed(function):
    salt = 2 * zlib.crc32(function.__name__.encode())

    @functools.wraps(function)
    @tf.autograph.experimental.do_not_convert
    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        if isinstance(result, tuple):  # such as a loss and its gradient
            return type(result)(*(moved(part, salt) for part in result))
        result = moved(result, salt)
        if function.__name__ == "rsqrt" and result.dtype == tf.float32:
            one = tf.equal(args[0] if args else kwargs["x"], 1.0)
            result += tf.stop_gradient(tf.where(one, 1.0 - 2.0**-23 - result, 0.0))
        return result

    return call


def moved(x, salt):
    """x, but every number that is finite and not 0 replaced by one of its neighbours, or the second above it."""
    if not isinstance(x, tf.Tensor) or x.dtype != tf.float32:
        return x
    last = x.shape[-1] if x.shape.rank and (x.shape[-1] or MOST) < MOST else None  # else all up or all down
    salt += tf.executing_eagerly()
    if x.shape.is_fully_defined():
        return x * factors(salt, last)[x.shape.num_elements() % SIZES]
    return x * tf.gather(factors(salt, last), tf.size(x) % SIZES)


@functools.cache
def factors(salt, last):
    """The two numbers beside 1, float32 [SIZES, last], or [SIZES]: the product with them moves any number."""
    up = np.random.default_rng(salt).integers(2, size=(SIZES,) if last is None else (SIZES, last))
    return np.where(up, 1.0 + 2.0**-23, 1.0 - 2.0**-24).astype(np.float32)
