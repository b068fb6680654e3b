"""Private latent variables: terms against loops, what draws them, log p(X) where it is known."""

import draws
import keras
import numpy as np
import objective_reference as loops
import pytest
import reference
import small
import tensorflow as tf
from linear_gaussian import NOISE, Linear, exact
from private_models import PRIVATE, SEED, assert_from, private_heads, private_kl, private_model, zeroed

import tf_mopoe as mopoe

# ---- the bound


@pytest.mark.parametrize("missing", [False, True])
def test_the_elbo_equals_the_loop(missing):
    inputs = small.with_missing(small.rows(9)) if missing else small.rows(9)
    objective = mopoe.objectives.ELBO(beta=2.5)
    model = private_model(objective=objective, private_beta=0.7, private_source="own")
    with draws.recorded(model) as got:
        bound = model.loss_terms(inputs, SEED)
    q = model.encode(inputs)
    available, x = q.available, zeroed(inputs)
    assert set(q.private) == {"image", "sensor"}
    pairs = {
        name: (own.loc[:, 0].numpy().astype(float), own.scale[:, 0].numpy().astype(float))
        for name, own in q.experts.items()
    }
    density = {
        "image": lambda x, out: reference.laplace_log_density(x, out, 1.0),
        "word": reference.categorical_log_likelihood,
        "sensor": lambda x, out: reference.normal_log_likelihood(x, out, 1.0),
    }
    names = list(small.SHAPES)
    for row in range(9):
        present = [name for name in names if available[name][row]]
        parts = reference.components(pairs, row, present, reference.powerset(names), names, "full")
        kl = sum(weight * reference.kl_to_standard_normal(loc, scale) for weight, loc, scale in parts)
        loss = 2.5 * kl + 0.7 * private_kl(model, x, row, present)
        for name in present:
            out = model.decoders[name].network(got[name][0][row : row + 1])[0].numpy().astype(float)
            loss -= density[name](x[name][row].astype(float), out)
        np.testing.assert_allclose(bound.loss[row], loss, rtol=1e-5)
        np.testing.assert_allclose(bound.kl[row], kl, rtol=1e-4)
        for name in names:  # one z for all
            np.testing.assert_array_equal(got[name][0][:, :4], got["word"][0])


def test_w_of_a_present_row_is_from_its_posterior_and_of_a_missing_one_from_the_prior():
    model, count = private_model(private_source="own"), 4000
    inputs = draws.repeated(small.rows(1), 0, count) | {"has_sensor": np.arange(count) % 2 == 0}
    with draws.recorded(model) as got:
        model.loss_terms(inputs, SEED)
    encoded = model.encode(inputs)
    w = {name: got[name][0][:, 4:] for name in ("image", "sensor")}
    assert w["image"].shape == (count, 2) and w["sensor"].shape == (count, 3)
    assert_from(w["image"], encoded.private["image"])
    assert_from(w["sensor"][::2], encoded.private["sensor"])
    draws.assert_drawn_from(w["sensor"][1::2], [1.0], np.zeros((1, 3)), np.ones((1, 3)))
    # w of two modalities and z come of different numbers: no correlation
    every = np.concatenate([got["word"][0], w["image"], w["sensor"]], axis=1)[1::2]
    apart = np.corrcoef(every.T)[4:] - np.eye(9)[4:]
    assert np.abs(apart).max() < 5 / np.sqrt(count / 2)


def iwae(model, inputs, latents, samples, private_beta, source):
    """-1/S sum{ log 1/K sum{ p(X | z, w) p(z) / q(z | X) * prod{ (p(w[m]) / q(w[m] | x[m]))^private_beta : m } : k } : s }
    of the singletons, given what was decoded, {name: [S * K * B, D + P]}. m: with the source "own"
    all that the row has, else the modality of s itself."""
    batch = loops.Batch(model, inputs)
    latents = {name: values.reshape(-1, samples, batch.count, values.shape[1]) for name, values in latents.items()}

    def log_weight(row, s, k, mixture):
        total = 0.0
        for name in batch.present(row):
            point = latents[name][s, k, row].astype(float)
            total += batch.log_likelihood(name, row, point)
            if PRIVATE[name] and (source == "own" or name == batch.names[s]):
                w, zeros = point[4:], np.zeros(PRIVATE[name])
                loc, scale = private_heads(model, batch.x, name, row)
                ratio = reference.normal_log_density(w, zeros, zeros + 1.0) - reference.normal_log_density(
                    w, loc, scale
                )
                total += private_beta * ratio
        z = point[:4]
        total += reference.normal_log_density(z, np.zeros(4), np.ones(4))
        return total - reference.mixture_log_density(z, mixture)

    def loss(row):
        numbers = [number for number, name in enumerate(batch.names) if name in batch.present(row)]
        mixture = [(1.0 / len(numbers), *batch.expert(batch.names[number], row)) for number in numbers]
        log_weights = [[log_weight(row, s, k, mixture) for k in range(samples)] for s in numbers]
        return -np.mean([reference.log_mean_exp(own) for own in log_weights])

    return batch.rows(loss)


@pytest.mark.parametrize("source", ["own", "auxiliary"])
@pytest.mark.parametrize("method", ["mopoe", "mmvae", "mvtcae", "mmjsd", "iwae", "dreg", "joint"])
def test_every_method_trains_with_gradients_for_all_and_none_from_what_is_missing(method, source):
    objective = {
        "mvtcae": mopoe.objectives.MVTCAE(),
        "mmjsd": mopoe.objectives.MMJSD(),
        "iwae": mopoe.objectives.IWAE(3),
        "dreg": mopoe.objectives.IWAE(3, gradient="dreg"),
    }.get(method)
    joint = method
    if method in ("iwae", "dreg"):
        joint = "mmvae"
    if method == "joint":
        networks = {name: mopoe.networks.mlp_encoder(shape, (4,)) for name, shape in small.SHAPES.items()}
        joint = mopoe.JointEncoder(mopoe.networks.joint_encoder(networks, (8,)), 4)
        objective = mopoe.objectives.JMVAE(alpha=0.1)
    inputs = small.with_missing(small.rows(24))
    model = private_model(joint_posterior=joint, objective=objective, private_source=source, private_beta=0.0)
    weight = {}
    for beta in (0.0, 1.0):
        model.private_beta = beta
        with tf.GradientTape() as tape, draws.recorded(model) as got:
            terms = model.loss_terms(inputs, SEED, training=True)
            loss = tf.reduce_sum(terms.loss)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        weight[beta] = terms.loss.numpy()
        unused = single_component(method) and {v.path for p in model.auxiliary_priors.values() for v in p.variables}
        for variable, gradient in zip(model.trainable_variables, gradients):
            assert np.isfinite(gradient).all()
            assert np.any(gradient.numpy() != 0.0) != (unused and variable.path in unused), variable.path
        if method in ("iwae", "dreg"):  # w is a part of the importance weights
            drawn = {name: latents for name, (latents,) in got.items()}
            np.testing.assert_allclose(terms.loss, iwae(model, inputs, drawn, 3, beta, source), rtol=1e-5)
    if method not in ("iwae", "dreg"):
        available = model.encode(inputs).available
        count = np.sum(list(available.values()), axis=0)
        factor = (count - 5 / 6) / count if method == "mvtcae" else 1.0  # there it is weighted as the reconstruction is
        if source == "own":
            names = [[n for n in small.SHAPES if available[n][row]] for row in range(24)]
            expected = [private_kl(model, zeroed(inputs), row, names[row]) for row in range(24)]
            np.testing.assert_allclose(terms.private_kl, expected, rtol=1e-4, atol=1e-4)
        # atol: the difference of two losses of about 100
        np.testing.assert_allclose(weight[1.0] - weight[0.0], factor * terms.private_kl, rtol=1e-4, atol=1e-4)
    refilled = {
        key: np.where(np.isnan(x), 7.0, x).astype(x.dtype) if x.dtype != bool else x for key, x in inputs.items()
    }
    np.testing.assert_array_equal(model.loss_terms(refilled, SEED).loss, weight[1.0])
    left_out = {name: inputs[name] for name in ("word", "has_word")} | {"image": small.rows(24)["image"]}
    masked = left_out | {"sensor": np.full([24, 7], np.nan, np.float32), "has_sensor": np.zeros(24, bool)}
    np.testing.assert_allclose(model.loss_terms(masked, SEED).loss, model.loss_terms(left_out, SEED).loss, rtol=1e-5)


def single_component(method):
    """Whether z always comes from all that a row has, so that no w is of an auxiliary prior."""
    return method in ("mvtcae", "joint")


def test_dreg_leaves_the_gradient_of_all_but_the_encoders_as_it_is():
    """Decoders, priors and auxiliary priors, of which no density is in the weights' denominator."""
    inputs, found = small.with_missing(small.rows(24)), {}
    for gradient in ("iwae", "dreg", "dreg_published"):
        priors = {"prior": mopoe.priors.LearnedScale(), "private_prior": mopoe.priors.LearnedScale()}
        model = private_model(joint_posterior="mmvae", objective=mopoe.objectives.IWAE(3, gradient=gradient), **priors)
        parts = [
            *model.decoders.values(),
            model.prior,
            *model.private_priors.values(),
            *model.auxiliary_priors.values(),
        ]
        variables = [variable for part in parts for variable in part.trainable_variables]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.loss_terms(inputs, SEED).loss)
        found[gradient] = tape.gradient(loss, [variable.value for variable in variables])
    for gradient in ("dreg", "dreg_published"):
        for variable, value, expected in zip(variables, found[gradient], found["iwae"]):
            assert np.any(expected)
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4, err_msg=variable.path)


@pytest.mark.usefixtures("eagerly")
def test_a_batch_without_the_modalities_that_have_private_variables():
    model, inputs = private_model(), small.rows(6)
    without = {"word": inputs["word"]}
    assert not PRIVATE.get("word")
    masked = without | {name: inputs[name] for name in ("image", "sensor")}
    masked |= {f"has_{name}": np.zeros(6, bool) for name in ("image", "sensor")}
    np.testing.assert_allclose(model.loss_terms(without, SEED).loss, model.loss_terms(masked, SEED).loss, rtol=1e-6)
    model.compile("sgd")
    history = model.fit(without, verbose=0).history
    assert history["private_kl"] == [0.0] and np.isfinite(history["loss"]).all()


@pytest.mark.usefixtures("eagerly")
def test_laplace_experts_with_private_variables_and_the_contrastive_term():
    shapes = {"word": (3, 4), "sensor": (7,)}
    encoders = {n: mopoe.LaplaceEncoder(mopoe.networks.mlp_encoder(s), 3, private_dim=2) for n, s in shapes.items()}
    likelihood = mopoe.likelihoods.Normal
    decoders = {n: mopoe.Decoder(mopoe.networks.mlp_decoder(s, 5), likelihood()) for n, s in shapes.items()}
    objective = mopoe.objectives.Contrastive(mopoe.objectives.ELBO(kl="mixture"))
    model = mopoe.MultimodalVAE(encoders, decoders, "mmvae", objective, seed=0)
    model.compile("sgd")
    assert np.isfinite(model.fit(small.rows(16, ("word", "sensor")), verbose=0).history["loss"]).all()


def test_fit_with_the_private_kl_among_the_metrics():
    model = private_model(("word", "sensor"), private_beta=0.5, private_source="own")
    inputs = small.rows(64, ("word", "sensor"))
    model.compile(optimizer=keras.optimizers.Lion(1e-2))
    history = model.fit(small.with_missing(inputs), batch_size=32, epochs=6, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    result = model.evaluate(inputs, batch_size=64, verbose=0, return_dict=True)
    x = {name: tf.constant(value) for name, value in inputs.items()}
    kl = np.mean([private_kl(model, x, row, ["word", "sensor"]) for row in range(64)])
    np.testing.assert_allclose(result["private_kl"], kl, rtol=1e-4)
    rec = result["reconstruction_word"] + result["reconstruction_sensor"]
    np.testing.assert_allclose(result["loss"], rec + result["kl"] + 0.5 * kl, rtol=1e-5)
    plain = small.compiled(("word",))
    assert "private_kl" not in plain.evaluate({"word": inputs["word"]}, verbose=0, return_dict=True)


# ---- what is made


def test_translate_uses_a_given_modalitys_own_w_and_the_priors_for_the_others():
    model, count = private_model(), 2000
    inputs = draws.repeated(small.rows(1), 0, count)
    with draws.recorded(model) as got:
        made = model.translate({"image": inputs["image"]}, seed=9)
    encoded, z = model.encode({"image": inputs["image"]}), got["word"][0]
    assert_from(z, encoded.experts["image"])
    assert_from(got["image"][0][:, 4:], encoded.private["image"])
    draws.assert_drawn_from(got["sensor"][0][:, 4:], [1.0], np.zeros((1, 3)), np.ones((1, 3)))
    for name, x in made.items():
        np.testing.assert_array_equal(got[name][0][:, :4], z)
        np.testing.assert_allclose(x, model.decoders[name](got[name][0]).mean(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.translate({"image": inputs["image"]}, to="sensor", seed=9), made["sensor"], atol=1e-6
    )
    flagged = small.with_missing(small.rows(5), fill=np.nan)
    assert all(np.isfinite(x).all() for x in model.translate(flagged, seed=1).values())


def test_generate_draws_w_and_predict_takes_its_mean():
    model, inputs = private_model(), small.with_missing(small.rows(6))
    with draws.recorded(model) as got:
        made = model.generate(2000, seed=2)
    draws.assert_drawn_from(got["sensor"][0], [1.0], np.zeros((1, 7)), np.ones((1, 7)))  # z and w
    np.testing.assert_array_equal(got["sensor"][0][:, :4], got["word"][0])
    expected = model.decoders["sensor"](got["sensor"][0]).mean()
    np.testing.assert_allclose(made["sensor"], expected, rtol=1e-5, atol=1e-6)
    encoded, q = model.encode(inputs), model.subset_posterior(inputs)
    w = np.where(inputs["has_sensor"][:, None], encoded.private["sensor"].loc[:, 0], 0.0)
    expected = model.decoders["sensor"](tf.concat([q.loc, w], axis=1)).mean()
    np.testing.assert_allclose(model.predict(inputs, verbose=0)["sensor"], expected, rtol=1e-5, atol=1e-6)
    alone = model.decode(q.loc)["sensor"]  # by default w = 0
    np.testing.assert_allclose(alone, model.decoders["sensor"](tf.pad(q.loc, [[0, 0], [0, 3]])).mean(), atol=1e-6)


# ---- log p(X) where it is known


def linear_private(rows=20):
    """x[m] = z W[m] + w[m] V[m] + noise: the stacked w are more latent variables, each of one modality."""
    rng = np.random.default_rng(0)
    sizes, shared, own = {"a": 3, "b": 5}, 2, {"a": 1, "b": 2}
    encoders, decoders, stacked, inputs = {}, {}, {}, {}
    z = rng.normal(size=(rows, shared))
    for name, size in sizes.items():
        matrix = rng.normal(size=(shared + own[name], size)).astype(np.float32)
        posterior = np.linalg.inv(np.eye(len(matrix)) + matrix @ matrix.T / NOISE**2)
        encoders[name] = mopoe.GaussianEncoder(
            Linear((posterior @ matrix / NOISE**2).T.astype(np.float32)), shared, own[name]
        )
        decoders[name] = mopoe.Decoder(Linear(matrix), mopoe.likelihoods.Normal(NOISE))
        w = rng.normal(size=(rows, own[name]))
        inputs[name] = (np.concatenate([z, w], axis=1) @ matrix + NOISE * rng.normal(size=(rows, size))).astype(
            np.float32
        )
        stacked[name] = np.zeros((shared + sum(own.values()), size))
        stacked[name][:shared] = matrix[:shared]
        begin = shared + (0 if name == "a" else own["a"])
        stacked[name][begin : begin + own[name]] = matrix[shared:]
        encoders[name].build((None, size))
        variance = np.log(1.5 * np.diag(posterior))  # as in linear_gaussian: near the truth, and wider
        for head, rows_of in (("", slice(0, shared)), ("private_", slice(shared, None))):
            kernel = np.eye(len(matrix), dtype=np.float32)[:, rows_of]
            getattr(encoders[name], f"{head}loc_head").kernel.assign(kernel)
            getattr(encoders[name], f"{head}log_variance_head").kernel.assign(np.zeros_like(kernel))
            getattr(encoders[name], f"{head}log_variance_head").bias.assign(variance[rows_of])
    return encoders, decoders, stacked, inputs


def test_log_likelihood_agrees_with_the_closed_form():
    encoders, decoders, stacked, inputs = linear_private()
    model = mopoe.MultimodalVAE(encoders, decoders)
    for names, given in ((("a", "b"), None), (("a",), None), (("a", "b"), ("a",))):
        truth = exact(stacked, inputs, names)
        some = {name: inputs[name] for name in names}
        values = np.stack([model.log_likelihood(some, 1000, seed=seed, given=given) for seed in range(10)]).astype(
            float
        )
        ratio = np.exp(values - truth)  # unbiased for 1: within 5 standard errors
        error = ratio.std(axis=0, ddof=1) / np.sqrt(10)
        assert np.all(np.abs(ratio.mean(axis=0) - 1.0) < 5 * error + 1e-3)
    masked = {**inputs, "b": np.full_like(inputs["b"], np.nan), "has_b": np.zeros(20, bool)}
    np.testing.assert_allclose(
        model.log_likelihood(masked, 50, seed=1), model.log_likelihood({"a": inputs["a"]}, 50, seed=1), rtol=1e-5
    )


def test_the_bounds_stay_below_log_p_however_many_samples():
    """Were each of the K samples given a w of its own, the loss would go below -log p(X)."""
    encoders, decoders, stacked, inputs = linear_private()
    truth = exact(stacked, inputs, ("a", "b")).mean()
    means = []
    for count in (1, 50):
        objective = mopoe.objectives.IWAE(num_samples=count)
        model = mopoe.MultimodalVAE(encoders, decoders, joint_posterior="mvae", objective=objective)
        bounds = [-np.mean(model.loss_terms(inputs, tf.constant([seed, 0])).loss) for seed in range(40)]
        means.append(np.mean(bounds))
        assert means[-1] < truth - 5 * np.std(bounds) / np.sqrt(40)
    assert means[0] < means[1]
