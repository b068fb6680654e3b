"""Rows for every signature of an export, all subsets present, and what the Keras model makes of each of them alone."""

import itertools

import numpy as np
import small

SAMPLES = 16  # K of log_likelihood


def every_subset(names, repeats=2, seed=0):
    """Rows of which `repeats` have each non-empty subset of the modalities; NaN where they have nothing."""
    flags = np.array([f for f in itertools.product([False, True], repeat=len(names)) if any(f)] * repeats)
    inputs = small.rows(len(flags), names, seed)
    for column, name in enumerate(names):
        inputs[name][~flags[:, column]] = np.nan
        inputs[f"has_{name}"] = flags[:, column]
    return inputs


def requests(model, rows):
    """{signature: {input: array}}. The parts to fuse are NaN, scale 0 too, where a row has nothing."""
    count = len(rows[model.modalities[0]])
    seed = {"seed": np.stack([np.arange(count) + 3, np.zeros(count)], axis=1).astype(np.int32)}
    q = model.encode(rows)
    parts = {f"has_{name}": rows[f"has_{name}"] for name in model.modalities}
    absent = np.where(np.arange(count) % 2, np.float32(np.nan), np.float32(0.0))[:, None]
    for prefix, mixtures in (("", q.experts), ("private_", q.private)):
        for name, own in mixtures.items():
            has = q.available[name].numpy()[:, None]
            parts[f"{prefix}loc_{name}"] = np.where(has, own.loc[:, 0], np.float32(np.nan))
            parts[f"{prefix}scale_{name}"] = np.where(has, own.scale[:, 0], absent)
    return {
        "translate": rows | seed,
        "serving_default": rows | seed,
        "encode": rows,
        "joint_posterior": rows,
        "generate": seed,
        "fuse": parts | seed,
        "log_likelihood": rows | seed,
    }


def expected(model, rows):
    """What the model's methods make of `requests`, {signature: {output: array}}; a row with a draw by itself."""
    draws = [int(number) for number in requests(model, rows)["generate"]["seed"][:, 0]]
    single = [{key: value[i : i + 1] for key, value in rows.items()} for i in range(len(draws))]
    translated = joined([model.translate(row, seed=draw) for row, draw in zip(single, draws)])
    nats = [model.log_likelihood(row, SAMPLES, seed=draw) for row, draw in zip(single, draws)]
    q = model.subset_posterior(rows)
    encoded = {"loc": q.loc.numpy(), "scale": q.stddev().numpy()}
    return {
        "translate": translated,
        "serving_default": translated,
        "encode": encoded,
        "joint_posterior": {key: value.numpy() for key, value in model.encode(rows).joint.parameters().items()},
        "generate": joined([model.generate(1, seed=draw) for draw in draws]),
        "fuse": encoded | translated,
        "log_likelihood": {"log_likelihood": np.concatenate(nats)},
    }


def joined(rows):
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def assert_equal(answers, truth, tolerance=1e-5):
    assert set(answers) == set(truth)
    for signature, outputs in truth.items():
        assert set(answers[signature]) == set(outputs), signature
        for name, value in outputs.items():
            np.testing.assert_allclose(
                answers[signature][name], value, rtol=tolerance, atol=tolerance, err_msg=f"{signature}: {name}"
            )
