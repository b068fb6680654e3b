"""Generated inputs: the documented result, or a ValueError that names the argument; nothing else.

A few for each in the quick suite; with --slow, thousands (BUILD.md has the command).
"""

import functools
import pathlib

import generated
import keras
import numpy as np
import pytest
import small
import tensorflow as tf
from hypothesis import HealthCheck, Phase, assume, given, settings

import tf_mopoe as mopoe
from tf_mopoe import datasets, evaluation, export

ROWS, LABELS = small.rows(6), np.arange(6) % 2
NAMES = tuple(small.SHAPES)


def examples(count):
    """Settings for `count` examples; the same ones in every run of the quick suite."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=count < 100,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@functools.cache
def model():
    keras.utils.set_random_seed(0)
    model = small.model(seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


@functools.cache
def clusters():
    return small.model(seed=0, prior=mopoe.priors.Mixture(3))


def finite(tree):
    return all(np.isfinite(np.asarray(x)).all() for x in tf.nest.flatten(tree))


METHODS = {
    "encode": lambda x: [expert.loc for expert in model().encode(x).experts.values()],
    "joint_posterior": lambda x: model().joint_posterior(x, seed=1).mean(),
    "subset_posterior": lambda x: model().subset_posterior(x).mean(),
    "translate": lambda x: model().translate(x, seed=1),
    "log_likelihood": lambda x: model().log_likelihood(x, num_samples=2, seed=1),
    "embed": lambda x: model().embed(x),
    "posterior_predictive": lambda x: model().posterior_predictive(x, num_samples=2, seed=1),
    "impute": lambda x: dict(model().impute(x, num_samples=2, seed=1)),
    "train_on_batch": lambda x: model().train_on_batch(x),
    "test_on_batch": lambda x: model().test_on_batch(x),
    "fit": lambda x: model().fit(x, verbose=0).history["loss"],
    "evaluate": lambda x: model().evaluate(x, verbose=0),
    "predict": lambda x: model().predict(x, verbose=0),
}


def check_method(method, generated_inputs):
    x, fits, whole = generated_inputs
    if fits is None:  # no rows: an empty posterior, and an error of what takes batches
        fits = method in ("encode", "joint_posterior", "subset_posterior")
    fits = fits and (whole or method in ("encode", "fit", "evaluate", "train_on_batch", "test_on_batch"))
    try:
        result = METHODS[method](x)
    except ValueError as error:
        message = str(error)
        assert "must " in message or "may " in message or "needs" in message, message
        assert "Received: " in message, message
        assert not fits, f"refused: {message}"
    else:
        assert finite(result) or not fits or method == "log_likelihood"
        assert fits or method == "encode"  # which looks at names and shapes only: NaN and no rows pass


@pytest.mark.parametrize("method", METHODS)
@examples(8)
@given(x=generated.inputs())
def test_inputs_of_methods(method, x):
    check_method(method, x)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@examples(300)
@given(x=generated.inputs())
def test_many_inputs_of_methods(method, x):
    check_method(method, x)


def is_integer(low=None):
    return lambda v: isinstance(v, (int, np.integer)) and not isinstance(v, bool) and (low is None or low <= v < 2**31)


def is_seed(v):
    return isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 0


def is_draw_seed(v):
    """None, an integer, or the seed of TensorFlow's stateless operations."""
    return v is None or is_integer()(v) or (tf.is_tensor(v) and v.dtype.is_integer and v.shape == (2,))


def optional(valid):
    return lambda v: v is None or valid(v)


def one_of(*choices):
    return lambda v: (v is None or isinstance(v, str)) and v in choices


def is_given(v):
    return isinstance(v, (tuple, list)) and len(v) > 0 and all(isinstance(n, str) and n in NAMES for n in v)


def is_sizes(v):
    try:
        values = list(v)
    except TypeError:
        return False
    return bool(values) and not isinstance(v, (str, bytes, dict)) and all(is_integer(1)(n) and n < 3 for n in values)


def is_temperature(v):
    """Of a model without private latent variables: a number, or no names."""
    return v == {} if isinstance(v, dict) else is_number(v) and 0.0 <= v < 1e300


def is_number(v):
    return isinstance(v, (int, float, np.integer, np.floating)) and not isinstance(v, bool)


def never(v):
    return False


def coherence(**kwargs):
    arguments = {"inputs": ROWS, "labels": LABELS, "classifiers": {"word": lambda x: np.zeros(len(x))}} | kwargs
    return evaluation.conditional_coherence(model(), **arguments)


def joint(**kwargs):
    return evaluation.joint_coherence(model(), **{"classifiers": {"word": lambda x: np.zeros(len(x))}} | kwargs)


def frechet(**kwargs):
    arguments = {"inputs": ROWS, "features": {"sensor": lambda x: np.asarray(x)[:, :2]}} | kwargs
    return evaluation.frechet_distances(model(), **arguments)


def served(**kwargs):
    return export.saved_model(model(), **{"path": pathlib.Path("never")} | kwargs)


def devices(**kwargs):
    return export.tflite_encoders(model(), **{"path": pathlib.Path("never")} | kwargs)


# What is called, the argument that gets anything, whether a value is documented. "!": a documented value is not tried.
ARGUMENTS = {
    "translate to": (lambda v: model().translate(ROWS, to=v, seed=0), one_of(None, *NAMES)),
    "translate seed": (lambda v: model().translate(ROWS, seed=v), is_draw_seed),
    "joint_posterior seed": (lambda v: model().joint_posterior(ROWS, seed=v), is_draw_seed),
    "translate private_temperature": (
        lambda v: model().translate(ROWS, private_temperature=v),
        optional(is_temperature),
    ),
    "generate private_temperature": (lambda v: model().generate(2, private_temperature=v), optional(is_temperature)),
    "decode z": (lambda v: model().decode(v), never),
    "decode to": (lambda v: model().decode(np.zeros((2, 4), np.float32), to=v), one_of(None, *NAMES)),
    "decode private": (
        lambda v: model().decode(np.zeros((2, 4), np.float32), private=v),
        optional(lambda v: isinstance(v, dict) and not v),
    ),
    "posterior_predictive to": (
        lambda v: model().posterior_predictive(ROWS, to=v, num_samples=1, seed=0),
        one_of(None, *NAMES),
    ),
    "posterior_predictive num_samples!": (
        lambda v: model().posterior_predictive(ROWS, num_samples=v, seed=0),
        is_integer(1),
    ),
    "posterior_predictive seed": (
        lambda v: model().posterior_predictive(ROWS, num_samples=1, seed=v),
        is_draw_seed,
    ),
    "posterior_predictive refine_steps!": (
        lambda v: model().posterior_predictive(ROWS, num_samples=1, refine_steps=v),
        is_integer(0),
    ),
    "impute num_samples!": (lambda v: model().impute(ROWS, num_samples=v), is_integer(1)),
    "evaluate num_samples!": (lambda v: model().evaluate(ROWS, num_samples=v, verbose=0), is_integer(1)),
    "cluster_assignments inputs": (lambda v: evaluation.cluster_assignments(clusters(), v), never),
    "prune_clusters inputs": (lambda v: evaluation.prune_clusters(clusters(), v), never),
    "generate num_samples": (lambda v: model().generate(v), is_integer(1)),
    "generate seed": (lambda v: model().generate(2, seed=v), is_draw_seed),
    "log_likelihood num_samples": (lambda v: model().log_likelihood(ROWS, num_samples=v), is_integer(1)),
    "log_likelihood seed": (lambda v: model().log_likelihood(ROWS, num_samples=2, seed=v), is_draw_seed),
    "log_likelihood given": (lambda v: model().log_likelihood(ROWS, num_samples=2, given=v), optional(is_given)),
    "load_digits split!": (lambda v: datasets.load_digits(v), one_of("train", "test")),
    "load_digits seed!": (lambda v: datasets.load_digits("test", seed=v), is_seed),
    "load_digits epoch!": (lambda v: datasets.load_digits("test", epoch=v), is_seed),
    "load_digits speech!": (lambda v: datasets.load_digits("test", speech=v), optional(never)),
    "free_spoken_digits path": (datasets.free_spoken_digits, never),
    "free_spoken_digits split": (lambda v: datasets.free_spoken_digits(".", v), never),
    "mnist_svhn_text data_dir": (lambda v: datasets.mnist_svhn_text(v, download=False), never),
    "mnist_svhn_text seed!": (lambda v: datasets.mnist_svhn_text("never", seed=v, download=False), is_seed),
    "polymnist mnist": (datasets.polymnist, never),
    "polymnist seed!": (lambda v: datasets.polymnist("never", seed=v), is_seed),
    "celeba data_dir": (datasets.celeba, never),
    "celeba split!": (lambda v: datasets.celeba("never", v), one_of("train", "validation", "test")),
    "pair_by_label labels": (lambda v: datasets.pair_by_label(v, 4), never),
    "pair_by_label num_rows!": (lambda v: datasets.pair_by_label({"a": LABELS}, v), is_integer(0)),
    "Rows arrays": (datasets.Rows.of, never),
    "dataset batch_size!": (lambda v: datasets.Rows.of(ROWS).dataset(v), is_integer(1)),
    "dataset seed!": (lambda v: datasets.Rows.of(ROWS).dataset(2, seed=v), optional(is_integer())),
    "take num_rows": (lambda v: datasets.Rows.of(ROWS).take(v), is_integer(0)),
    "coherence inputs": (lambda v: coherence(inputs=v), never),
    "coherence labels": (lambda v: coherence(labels=v), never),
    "coherence classifiers": (lambda v: coherence(classifiers=v), never),
    "coherence sizes": (lambda v: coherence(sizes=v), optional(is_sizes)),
    "coherence batch_size": (lambda v: coherence(batch_size=v), is_integer(1)),
    "coherence seed": (lambda v: coherence(seed=v), is_integer()),
    "joint_coherence classifiers": (lambda v: joint(classifiers=v), never),
    "joint_coherence num_samples!": (lambda v: joint(num_samples=v), is_integer(1)),
    "joint_coherence seed": (lambda v: joint(num_samples=2, seed=v), is_integer()),
    "joint_coherence latent": (lambda v: joint(num_samples=2, latent=v), optional(never)),
    "classifier_accuracy inputs": (
        lambda v: evaluation.classifier_accuracy(v, LABELS, {"word": lambda x: np.zeros(len(x))}),
        never,
    ),
    "frechet features": (lambda v: frechet(features=v), never),
    "frechet num_samples!": (lambda v: frechet(num_samples=v), optional(is_integer(1))),
    "frechet_distance features_a": (lambda v: evaluation.frechet_distance(v, np.zeros((3, 2))), never),
    "joint_log_likelihoods inputs": (lambda v: evaluation.joint_log_likelihoods(model(), v), never),
    "joint_log_likelihoods num_samples!": (
        lambda v: evaluation.joint_log_likelihoods(model(), ROWS, num_samples=v),
        is_integer(1),
    ),
    "joint_log_likelihoods batch_size!": (
        lambda v: evaluation.joint_log_likelihoods(model(), ROWS, 1, batch_size=v),
        is_integer(1),
    ),
    "expert_conflict inputs": (lambda v: evaluation.expert_conflict(model(), v), never),
    "expert_calibration log_likelihoods": (evaluation.expert_calibration, never),
    "mean_by_number_given values": (evaluation.mean_by_number_given, never),
    "latent_mixture inputs": (lambda v: evaluation.latent_mixture(model(), v), never),
    "latent_mixture covariance!": (
        lambda v: evaluation.latent_mixture(model(), ROWS, covariance=v),
        one_of("diag", "full"),
    ),
    "latent_mixture num_components!": (lambda v: evaluation.latent_mixture(model(), ROWS, v), is_integer(1)),
    "train_classifier x": (lambda v: evaluation.train_classifier(v, LABELS), never),
    "train_classifier labels": (lambda v: evaluation.train_classifier(ROWS["image"], v), never),
    "train_classifier seed!": (lambda v: evaluation.train_classifier(ROWS["image"], LABELS, seed=v), is_integer(0)),
    "train_classifier epochs!": (
        lambda v: evaluation.train_classifier(ROWS["image"], LABELS, epochs=v),
        is_integer(1),
    ),
    "saved_model path!": (lambda v: served(path=v), lambda v: isinstance(v, (str, pathlib.Path)) and "\0" not in v),
    "saved_model version!": (lambda v: served(version=v), optional(is_integer(1))),
    "saved_model num_samples!": (lambda v: served(num_samples=v), is_integer(1)),
    "saved_model name!": (lambda v: served(name=v), optional(lambda v: isinstance(v, str))),
    "tflite_encoders path!": (
        lambda v: devices(path=v),
        lambda v: isinstance(v, (str, pathlib.Path)) and "\0" not in v,
    ),
    "tflite_encoders quantization!": (
        lambda v: devices(quantization=v),
        one_of(None, "float16", "dynamic", "int8"),
    ),
    "tflite_encoders representative!": (lambda v: devices(representative=v), optional(never)),
    "fuse experts": (lambda v: export.fuse(v, NAMES), never),
    "usable_rows x": (lambda v: export.usable_rows(v, {"input": {"shape": [None, 2], "range": None}}), never),
}
# Arguments of which the message names another part, or the form that is wanted.
SAID = {
    "representative": "representative|image|word",
    "split": "split|path",
    "inputs": "inputs|image|word|sensor",
    "labels": "labels",
    "data_dir": "data_dir|path|folder",
    "mnist": "mnist|path",
}


def check_argument(case, value):
    call, valid = ARGUMENTS[case]
    argument = case.split()[1].rstrip("!")
    documented = valid(value)
    assume(not (documented and case.endswith("!")))
    try:
        call(value)
    except OSError:  # nothing there, or a name that is too long for the disk
        assert any(loader in case for loader in ("mnist", "celeba", "free_spoken"))
    except ValueError as error:
        message = str(error)
        assert any(name in message for name in SAID.get(argument, argument).split("|")), message
        assert "eceived" in message, message
        assert not documented, f"refused: {message}"
    else:
        assert documented or valid is never, "taken"


@pytest.mark.parametrize("case", ARGUMENTS)
@examples(12)
@given(value=generated.ANYTHING)
def test_arguments(case, value):
    check_argument(case, value)


@pytest.mark.slow
@pytest.mark.parametrize("case", ARGUMENTS)
@examples(100)
@given(value=generated.ANYTHING)
def test_many_arguments(case, value):
    check_argument(case, value)
