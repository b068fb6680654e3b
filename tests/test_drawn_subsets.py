"""Many modalities: subsets that are drawn stand for all of them, and products are formed where they are needed."""

import itertools

import draws
import keras
import numpy as np
import pytest
import reference
import small
import tables
import tensorflow as tf
import tensorflow_probability as tfp

import tf_mopoe as mopoe
from tf_mopoe import evaluation, export, gaussian, sampling
from tf_mopoe.families import Normal
from tf_mopoe.mixture import Mixture, Products
from tf_mopoe.posteriors.joint_posterior import Seeded
from tf_mopoe.streams import as_stream

PATTERNS = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]], bool)  # 4, 3, 2 and 1 of four modalities
SEED = tf.constant([3, 4])
STREAM = as_stream(SEED)


def codes(membership):
    """A subset as a number: the bits are its members."""
    return (np.asarray(membership) @ (2 ** np.arange(membership.shape[-1]))).astype(int)


# ---- the draws


@pytest.mark.parametrize("num_subsets", [1, 6, 40])
def test_all_subsets_of_what_a_row_has_are_equally_likely(num_subsets):
    rows = 3000
    drawn = codes(sampling.subsets(tf.repeat(PATTERNS, rows, axis=0), num_subsets, STREAM))
    for has, found in zip(codes(PATTERNS), drawn.reshape(4, rows, num_subsets)):
        subsets = [code for code in range(1, 16) if code & has == code]
        share = np.stack([np.mean(found == code, axis=1) for code in subsets])  # [subsets, rows]; rows are independent
        error = share.std(axis=1) / np.sqrt(rows)
        assert np.all(np.abs(share.mean(axis=1) - 1 / len(subsets)) <= 5 * error + 1e-9), has
        np.testing.assert_allclose(share.sum(axis=0), 1.0)  # and no others


def test_sizes_are_stratified():
    sizes = np.sum(sampling.subsets(tf.repeat(PATTERNS, 50, axis=0), 24, STREAM), axis=-1).reshape(4, 50, 24)
    for pattern, found in zip(PATTERNS, sizes):
        for size, probability in enumerate(np.diff(sampling.size_cdf(4)[pattern.sum()], prepend=0.0), start=1):
            assert np.all(np.abs(np.sum(found == size, axis=1) - 24 * probability) < 1.0 + 1e-6)
    np.testing.assert_allclose(sampling.size_cdf(4)[3], [3 / 7, 6 / 7, 1.0, 1.0])


def test_the_seed_decides_and_without_one_all_rows_draw_the_same():
    available = tf.repeat(PATTERNS, 3, axis=0)
    first = sampling.subsets(available, 10, STREAM).numpy()
    np.testing.assert_array_equal(sampling.subsets(available, 10, STREAM), first)
    assert np.any(sampling.subsets(available, 10, as_stream(tf.constant([3, 5]))) != first)
    assert np.any(first[0] != first[1])  # a row's draws are its own
    plain = sampling.subsets(available, 10).numpy().reshape(4, 3, 10, 4)
    np.testing.assert_array_equal(plain[:, 1:], plain[:, :-1])
    np.testing.assert_array_equal(sampling.subsets(available[4:5], 10)[0], plain[1, 0])
    np.testing.assert_array_equal(sampling.subsets(np.zeros([2, 4], bool), 10, STREAM), 0.0)  # a row with nothing


def test_subsets_do_not_come_from_the_numbers_that_z_comes_from():
    """From z's noise (Box and Muller's) its two uniform numbers: they say nothing of who stands beside whom.

    Sharp experts, each at a place of its own: z shows which of the 15 subsets was drawn, and the noise.
    """
    layer = mopoe.MixtureOfProducts(prior_expert="none", max_components=1, num_components=1)
    model, count, sharp = tables.model(4, latent_dim=4, joint_posterior=layer), 20000, 0.01
    places = 10.0 * np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    for place, encoder in zip(places, model.encoders.values()):
        for head, bias in ((encoder.loc_head, place), (encoder.log_variance_head, np.full(4, 2 * np.log(sharp)))):
            head.kernel.assign(np.zeros(head.kernel.shape))
            head.bias.assign(bias)
    _, (z,) = draws.decoded(model, lambda: model.loss_terms(tables.rows(count, 4), SEED))
    members = np.array(list(itertools.product([0.0, 1.0], repeat=4)))[1:]
    sizes = members.sum(axis=1)
    centers = members @ places / sizes[:, None]
    nearest = np.argmin(np.sum((z[:, None] - centers) ** 2, axis=-1), axis=1)
    noise = (z - centers[nearest]) / sharp * np.sqrt(sizes[nearest])[:, None]
    draws.assert_drawn_from(noise, [1.0], np.zeros((1, 4)), np.ones((1, 4)))
    pairs = members[nearest]
    radius = np.exp(-0.5 * (noise[:, 0] ** 2 + noise[:, 1] ** 2))
    for angle in (np.arctan2(noise[:, 0], noise[:, 1]), np.arctan2(noise[:, 1], noise[:, 0])):
        near = np.abs(radius - angle / (2 * np.pi) % 1.0) < 0.25
        two = pairs.sum(axis=1) == 2
        together = (pairs[:, 0] + pairs[:, 1] == 2) & two
        share, among = np.mean(together[two]), together[two & near]
        assert abs(np.mean(among) - share) < 5 * np.sqrt(share * (1 - share) / len(among))


# ---- the bound


def moments(model, inputs, seeds):
    """Mean and standard error, over the seeds, of reconstruction, KL and the gradients of some variables."""
    first, last = model.encoders["m0"], model.encoders["m7"]
    variables = [first.loc_head.kernel, last.log_variance_head.bias, model.decoders["m3"].trainable_variables[-1]]

    @tf.function
    def step(seed):
        with tf.GradientTape() as tape:
            terms = model.loss_terms(inputs, seed)
            loss = tf.reduce_mean(terms.loss)
        gradient = tape.gradient(loss, [variable.value for variable in variables])
        reported = [tf.reduce_mean(sum(terms.reconstruction.values())), tf.reduce_mean(terms.kl)]
        return tf.concat([reported, *[tf.reshape(g, [-1]) for g in gradient]], axis=0)

    found = np.stack([step(tf.constant([seed, 7])).numpy() for seed in range(seeds)]).astype(float)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(seeds)


def test_drawn_subsets_estimate_the_objective_of_all_without_bias():
    inputs = small.with_missing(tables.rows(200, 8), rate=0.3)
    every = tables.model(8)
    drawn = tables.model(8, joint_posterior=mopoe.MixtureOfProducts(max_components=16, num_components=16))
    drawn.set_weights(every.get_weights())
    assert drawn.mixture.draws(drawn.modalities) and not every.mixture.draws(every.modalities)
    (truth, error), (mean, own_error) = (moments(model, inputs, 300) for model in (every, drawn))
    assert error[1] == 0.0 and own_error[1] > 0.0  # the KL of all has nothing drawn
    assert np.all(np.abs(mean - truth) < 5 * np.hypot(error, own_error) + 1e-5 * np.abs(truth))
    assert np.all(own_error[:2] < 5e-3 * np.abs(truth[:2]))  # 5 of these: within 2.5 %


# ---- the fast path


def stacked(rows=5, modalities=4, latent=3):
    rng = np.random.default_rng(0)
    loc = tf.constant(rng.normal(size=(rows, modalities, latent)), tf.float32)
    scale = tf.constant(np.exp(0.5 * rng.normal(size=(rows, modalities, latent))), tf.float32)
    return loc, scale, tf.constant(np.concatenate([PATTERNS, np.zeros([1, 4], bool)])[:rows])


@pytest.mark.parametrize("per_row", [False, True], ids=["one family", "each row's own subsets"])
def test_products_equal_plain_components_with_their_gradients(per_row):
    loc, scale, available = stacked()
    rng = np.random.default_rng(1)
    membership = tf.constant(rng.random((5, 6, 4) if per_row else (6, 4)) < 0.5, tf.float32)
    prior = tf.constant(rng.random(membership.shape[:-1]) < 0.5, tf.float32)
    weights = tf.nn.softmax(tf.constant(rng.normal(size=(5, 6)), tf.float32))
    index = {1: tf.constant(rng.integers(6, size=5)), 2: tf.constant(rng.integers(6, size=(7, 5)))}
    z = tf.constant(rng.normal(size=(7, 5, 3)), tf.float32)

    def mixed(shape):
        return np.cos(3.0 * np.arange(shape.num_elements())).reshape(shape).astype(np.float32)

    def outputs(components):
        return [
            components.loc,
            components.scale,
            components.mean_kl_to_standard(),
            components.log_prob(z),
            components.component_log_probs(z),
            components.sample(STREAM, 7).z,
            components.sample(STREAM).z,
            *components.gather(tf.cast(index[1], tf.int32)),
            *components.gather(tf.cast(index[2], tf.int32)),
        ]

    results = []
    for lazy in (True, False):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([loc, scale])
            if lazy:
                power = gaussian.prior_power_or_one(prior, membership, available)
                made = Products(
                    weights, *gaussian.natural_parameters(loc, scale, available), membership, power, tables.names(4)
                )
            else:
                made = Mixture(weights, *gaussian.products_of_experts(loc, scale, available, membership, prior))
            values = outputs(made)
            sums = [tf.reduce_sum(value * mixed(value.shape)) for value in values]
        zero = tf.UnconnectedGradients.ZERO
        results.append((values, [tape.gradient(x, [loc, scale], unconnected_gradients=zero) for x in sums]))
    (values, gradients), (plain, plain_gradients) = results
    for value, other in zip(tf.nest.flatten([values, gradients]), tf.nest.flatten([plain, plain_gradients])):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-5 * float(tf.reduce_max(tf.abs(other))))


@pytest.mark.parametrize("own", [False, True], ids=["listed subsets", "subsets of each row"])
@pytest.mark.parametrize("count", [5, 150, 1100])  # in one part, in three, in 16
def test_the_mean_kl_of_products_has_the_value_and_gradient_of_the_kl(own, count):
    rng = np.random.default_rng(2)
    precision, weighted = tf.constant(np.exp(rng.normal(size=(4, 3, 2)))), tf.constant(rng.normal(size=(4, 3, 2)))
    membership = tf.constant(rng.integers(0, 2, (4, count, 3) if own else (count, 3)), tf.float64)
    prior = gaussian.prior_power_or_one(tf.zeros([count], tf.float64), membership, np.ones((4, 3), bool))
    weights = tf.nn.softmax(tf.constant(rng.normal(size=(4, count))))

    def plain(precision, weighted, membership, prior, weights):
        total, weighted = gaussian.sums_over_members(precision, weighted, membership, prior)
        return tf.reduce_sum(weights * Normal.kl_to_standard(weighted / total, tf.math.rsqrt(total)), axis=-1)

    upstream, found = tf.constant(rng.normal(size=4)), []
    for mean_kl in (gaussian.mean_kl_of_products, plain):
        with tf.GradientTape() as tape:
            sources = [precision, weighted, prior, weights]
            tape.watch(sources)
            kl = mean_kl(precision, weighted, membership, prior, weights)
        found.append([kl, *tape.gradient(kl, sources, output_gradients=upstream)])
    for fast, slow in zip(*found):
        np.testing.assert_allclose(fast, slow, rtol=1e-10, atol=1e-12)  # float64
    total, weighted = (x[1] for x in gaussian.sums_over_members(precision, weighted, membership, prior))
    exact = [reference.kl_to_standard_normal(w / t, t**-0.5) for t, w in zip(total.numpy(), weighted.numpy())]
    np.testing.assert_allclose(found[0][0][1], np.sum(weights[1] * exact))


def test_no_tensor_outgrows_the_drawn_subsets():
    """Memory is linear in M: of the layer's tensors none has more than B * S * M numbers (here D < M), S fixed."""
    largest = {}
    for modalities in (16, 32):
        layer = mopoe.MixtureOfProducts(max_components=1000, num_components=64, modalities=tables.names(modalities))
        q = {
            name: tfp.distributions.MultivariateNormalDiag(tf.zeros([10, 8]), tf.ones([10, 8]))
            for name in layer.modalities
        }

        @tf.function
        def kl_and_z():
            components = layer.joint(layer.stack(q, None), Seeded(SEED))  # noqa: B023
            return components.mean_kl_to_standard(), components.sample(STREAM).z

        shapes = [out.shape for op in kl_and_z.get_concrete_function().graph.get_operations() for out in op.outputs]
        assert all(shape.is_fully_defined() for shape in shapes if shape.rank and shape.rank > 2)
        largest[modalities] = max(shape.num_elements() for shape in shapes if shape.is_fully_defined())
    assert largest == {16: 10 * 64 * 16, 32: 10 * 64 * 32}


# ---- 64 modalities


@pytest.fixture(scope="module")
def sixty_four():
    """A model of 64 tables, and its rows."""
    return tables.model(64), tables.rows(64, 64)


@pytest.mark.parametrize("traced", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_64_modalities_train(traced):
    """Traced, which takes a minute, until it has learned; else three steps on the same rows."""
    model, inputs = tables.model(64), tables.rows(64 if traced else 8, 64)
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), run_eagerly=not traced)
    losses = model.fit(inputs, batch_size=8, epochs=12 if traced else 3, verbose=0).history["loss"]
    assert losses[-1] < (0.8 if traced else 1.0) * losses[0]


def test_64_modalities_are_inferred_from(sixty_four):
    model, inputs = sixty_four
    some = {name: inputs[name][:3] for name in ("m0", "m3", "m63", *tables.names(30)[5:])}
    q = model.joint_posterior(some, seed=1)
    assert isinstance(q, tfp.distributions.Mixture) and len(q.components) == 64 == model.mixture.num_components
    np.testing.assert_array_equal(
        q.log_prob(tf.zeros([3])), model.joint_posterior(some, seed=1).log_prob(tf.zeros([3]))
    )
    encoded = model.encode(some).experts
    product = reference.product(
        [p.loc[1, 0].numpy() for p in encoded.values()], [p.scale[1, 0].numpy() for p in encoded.values()], False
    )
    np.testing.assert_allclose(model.subset_posterior(some).loc[1], product[0], rtol=1e-4)
    np.testing.assert_allclose(model.subset_posterior(some).stddev()[1], product[1], rtol=1e-5)
    assert np.isfinite(model.translate(some, to="m1", seed=0)).all()
    assert model.generate(2, seed=0)["m40"].shape == (2, 2)
    assert np.isfinite(model.log_likelihood(some, 8, seed=0)).all()
    assert set(model.predict(some, verbose=0)) == set(model.modalities)
    few = {name: inputs[name][:3] for name in ("m0", "m1", "m2")}  # 7 subsets: all of them
    assert len(model.joint_posterior(few).components) == 7


def test_an_export_of_many_modalities_draws_too(tmp_path):
    layer = mopoe.MixtureOfProducts(max_components=64, num_components=32)
    model = tables.model(7, joint_posterior=layer)
    path = export.saved_model(model, tmp_path / "m", num_samples=8)
    text = (tmp_path / "m" / "README.md").read_text()
    assert "`weights` [B, 32]" in text and "Components: subsets of what the row has, drawn" in text
    inputs = small.with_missing(tables.rows(6, 7))
    seed = {"seed": np.stack([np.arange(6) + 3, np.zeros(6)], axis=1).astype(np.int32)}
    signatures = tf.saved_model.load(str(path)).signatures

    def call(name, values, rows):
        given = {key: tf.constant(value[rows]) for key, value in values.items()}
        return {key: value.numpy() for key, value in signatures[name](**given).items()}

    whole = {}
    for name, values in (("joint_posterior", inputs), ("log_likelihood", inputs | seed)):
        whole[name] = call(name, values, slice(None))
        for rows in (slice(0, 1), slice(1, 6), [4, 0, 4]):
            for key, value in call(name, values, rows).items():
                np.testing.assert_allclose(value, whole[name][key][rows], rtol=1e-5, atol=1e-6)
    components = model.encode(inputs).joint
    for key, value in components.parameters().items():
        np.testing.assert_allclose(whole["joint_posterior"][key], value, rtol=1e-5, atol=1e-6)
    for row in range(6):
        one = {key: value[row : row + 1] for key, value in inputs.items()}
        nats = model.log_likelihood(one, 8, seed=row + 3)
        np.testing.assert_allclose(whole["log_likelihood"]["log_likelihood"][row], nats[0], rtol=1e-5)


def test_nothing_lists_the_subsets_of_64_modalities(sixty_four, tmp_path):
    model, inputs = sixty_four
    model.summary(print_fn=lambda *_, **__: None)
    model.save(tmp_path / "m.keras")
    copy = keras.models.load_model(tmp_path / "m.keras")
    assert copy.mixture.get_config() == model.mixture.get_config() | {"name": copy.mixture.name}
    some = {"m0": inputs["m0"][:3], **{name: inputs[name][:3] for name in tables.names(40)[20:]}}
    np.testing.assert_allclose(copy.translate(some, to="m1", seed=2), model.translate(some, to="m1", seed=2), rtol=1e-6)
    assert len(evaluation.subset_latents.subsets_of(model.modalities, sizes=[1, 64])) == 65
    with pytest.raises(ValueError, match="too many subsets to list. Received: 64 modalities"):
        evaluation.joint_log_likelihoods(model, inputs)
