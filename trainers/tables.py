"""Imputes tables, and compares the imputed with the hidden values: root of the mean squared error and intervals.

    python -m trainers.tables --data=cells --rate=0.1 --seeds=0,1,2     # scikit-learn's breast cancer, cells hidden
    python -m trainers.tables --data=hospital --seeds=0,1,2             # trainers/hospital.py, a whole table hidden
    python -m trainers.tables --data=hospital --likelihoods=normal      # all tables transformed first, as MOFA wants them

Prints one row of a Markdown table per seed, of the model and of the hidden cells; and the results of scikit-learn and, if
mofapy2 is installed, MOFA on the same. Errors are in standard deviations of the column; intervals are of 90 %. Needs
pandas and scikit-learn.
"""

import contextlib
import io
import time

import keras
import numpy as np
from absl import flags

import tf_mopoe as mopoe
from trainers import commands, hospital

FLAGS = flags.FLAGS
flags.DEFINE_enum("data", "cells", ["cells", "hospital"], "What is imputed.")
flags.DEFINE_float("rate", 0.1, "Share of the cells that is hidden, of --data=cells.", 0.0, 0.9)
flags.DEFINE_enum(
    "likelihoods", "own", ["own", "normal"], "Of --data=hospital: of the numbers as they are, or transformed."
)
flags.DEFINE_list("seeds", ["0"], "Of the model and of the hidden cells.")
flags.DEFINE_list("refine_steps", ["0", "400"], "Steps of gradient ascent on each row's posterior.")
flags.DEFINE_string("joint_posterior", None, "As of MultimodalVAE. Default: the data's own.")
flags.DEFINE_integer("latent_dim", None, "Latent variables. Default: the data's own.", lower_bound=1)
flags.DEFINE_integer("hidden_units", 128, "Of the one hidden layer of each encoder.", lower_bound=1)
flags.DEFINE_integer("decoder_units", None, "Likewise of decoders. Default: the data's own.", lower_bound=1)
flags.DEFINE_integer("epochs", None, "Of training. Default: the data's own.", lower_bound=1)
flags.DEFINE_integer("batch_size", 64, "Rows in a step.", lower_bound=1)
flags.DEFINE_float("learning_rate", 5e-3, "At the start; it ends at 0.", lower_bound=0.0)
flags.DEFINE_float("clip", 100.0, "Largest norm of a step's gradient.", lower_bound=0.0)
INTERVAL = 0.05, 0.95
DRAWS = 200
WIDE = 50  # columns, from which on a decoder is linear: few rows say little of many weights
# Where cells are missing and the tables mostly there, the product; where whole tables are missing, all subsets.
DEFAULTS = {
    "cells": {"joint_posterior": "mvtcae", "latent_dim": 20, "decoder_units": 64, "epochs": 300},
    "hospital": {"joint_posterior": "mopoe", "latent_dim": 8, "decoder_units": 128, "epochs": 150},
}
Normal = mopoe.likelihoods.Normal


def normal():
    return Normal("learned_per_variable", standardize=True)


class Cells:
    """Breast cancer's 569 rows as three tables of 10 columns, of which a share of all cells is hidden at random."""

    def __init__(self, rate, seed):
        from sklearn.datasets import load_breast_cancer

        x = load_breast_cancer().data
        hidden = np.random.default_rng(seed).random(x.shape) < rate
        names = ("mean", "error", "worst")
        parts = {name: np.s_[:, 10 * number : 10 * number + 10] for number, name in enumerate(names)}
        self.inputs = {name: np.where(hidden, np.nan, x)[part].astype(np.float32) for name, part in parts.items()}
        self.truth = {name: np.where(hidden, x, np.nan)[part] for name, part in parts.items()}
        self.spread = {name: x[part].std(axis=0) for name, part in parts.items()}
        self.kinds = {name: (normal(), "standard") for name in names}
        self.clusters = None

    def others(self):
        """Return {imputer: {name: filled}}, of all 30 columns at once."""
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer, SimpleImputer
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        x = scaler.fit_transform(np.concatenate(list(self.inputs.values()), axis=1))
        imputers = {"column means": SimpleImputer(), "IterativeImputer": IterativeImputer(max_iter=30, random_state=0)}
        for name, imputer in imputers.items():
            start = time.time()
            made = scaler.inverse_transform(imputer.fit_transform(x))
            yield name, dict(zip(self.inputs, np.split(made, 3, axis=1))), time.time() - start


class Hospital:
    """`hospital.simulate`, the proteins hidden of a fifth of those who have them: imputed on a log scale."""

    def __init__(self, likelihoods, seed):
        import pandas

        tables, subtype, _ = hospital.simulate()
        index = sorted(set().union(*(table.index for table in tables.values())))
        tables = {name: table.reindex(index) for name, table in tables.items()}
        self.clusters = subtype.reindex(index).to_numpy()
        prot = np.log(tables["prot"].to_numpy())
        has = {name: table.notna().any(axis=1).to_numpy() for name, table in tables.items()}
        candidates = np.flatnonzero(has["prot"] & (has["rna"] | has["meth"] | has["clin"]))
        held = np.random.default_rng(seed).choice(candidates, len(candidates) // 5, replace=False)
        known = np.where(np.isin(np.arange(len(prot)), held)[:, None], np.nan, prot)
        self.truth = {"prot": np.where(np.isnan(known), prot, np.nan)}
        self.spread = {"prot": np.nanstd(known, axis=0)}
        clin = tables["clin"]
        codes = {"sex": {"F": 0, "M": 1}, "smoker": {"no": 0, "yes": 1}, "stage": {"I": 0, "II": 1, "III": 2, "IV": 3}}
        numbers = pandas.DataFrame({"age": clin.age, "bmi": clin.bmi, "crp": np.log(clin.crp)})
        numbers = numbers.assign(**{name: clin[name].map(code) for name, code in codes.items()})
        rna, meth = tables["rna"].to_numpy(), tables["meth"].to_numpy()
        total = np.nansum(rna, axis=1, keepdims=True)
        kept = np.clip(meth, 0.001, 0.999)
        self.transformed = {
            "rna": np.log1p(rna / np.where(total > 0, total, 1) * np.median(total[total > 0])),
            "meth": np.log(kept / (1 - kept)),
            "prot": known,
            "clin": numbers.to_numpy(),
        }
        if likelihoods == "normal":
            self.inputs = self.transformed
            self.kinds = {name: (normal(), "standard") for name in self.inputs}
        else:
            clin = clin.assign(crp=np.log(clin.crp))
            table = mopoe.likelihoods.Table.of(clin)
            self.inputs = {"rna": rna, "meth": meth, "prot": known, "clin": table.encode(clin).to_numpy()}
            self.kinds = {
                "rna": (mopoe.likelihoods.NegativeBinomial(size_factor="total"), "log1p_share"),
                "meth": (mopoe.likelihoods.Beta(), "standard"),
                "prot": (normal(), "standard"),
                "clin": (table, "standard"),
            }
        self.inputs = {name: x.astype(np.float32) for name, x in self.inputs.items()}

    def others(self):
        """Impute by column means, ridge regression from all else with column means where cells are empty, and MOFA."""
        from sklearn.linear_model import RidgeCV

        standard = {n: (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0) for n, x in self.transformed.items()}
        mean, spread = (f(self.transformed["prot"], axis=0) for f in (np.nanmean, np.nanstd))
        known = ~np.isnan(standard["prot"]).all(axis=1)
        yield "column means", {"prot": np.broadcast_to(mean, standard["prot"].shape)}, 0.0
        x = np.concatenate([np.nan_to_num(standard[name]) for name in ("rna", "meth", "clin")], axis=1)
        start = time.time()
        ridge = RidgeCV(np.logspace(1, 5, 9)).fit(x[known], np.nan_to_num(standard["prot"][known]))
        yield "ridge regression", {"prot": ridge.predict(x) * spread + mean}, time.time() - start
        start = time.time()
        made = mofa(standard)
        if made is not None:
            yield "MOFA, 10 factors", {"prot": made["prot"] * spread + mean}, time.time() - start


def mofa(tables):
    """Return {name: reconstruction} by MOFA of standardised tables; None without mofapy2."""
    try:
        from mofapy2.run.entry_point import entry_point
    except ImportError:
        return None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints much
        model = fitted_mofa(entry_point(), tables)
    found = model.model.getExpectations()
    return {name: found["Z"]["E"] @ weights["E"].T for name, weights in zip(tables, found["W"])}


def fitted_mofa(model, tables):
    """Train a MOFA model."""
    model.set_data_options(scale_views=False)
    model.set_data_matrix(
        [[x] for x in tables.values()],
        views_names=list(tables),
        groups_names=["all"],
        likelihoods=["gaussian"] * len(tables),
    )
    model.set_model_options(factors=10)
    model.set_train_options(seed=1, convergence_mode="fast", verbose=False, quiet=True)
    model.build()
    model.run()
    return model


def trained(data, seed, joint_posterior, latent_dim, decoder_units, epochs):
    """Train the model of docs/data.md on the data's inputs."""
    keras.utils.set_random_seed(seed)
    encoders, decoders = {}, {}
    for name, x in data.inputs.items():
        likelihood, normalization = data.kinds[name]
        network = mopoe.networks.mlp_encoder(2 * x.shape[1], (FLAGS.hidden_units,))
        encoders[name] = mopoe.GaussianEncoder(network, latent_dim, normalization=normalization, cells=True)
        linear = x.shape[1] > WIDE
        network = keras.Sequential([keras.layers.Identity() if linear else keras.layers.Dense(decoder_units, "relu")])
        decoders[name] = mopoe.Decoder(network, likelihood, event_shape=x.shape[1])
    steps = epochs * -(-len(x) // FLAGS.batch_size)
    beta = keras.optimizers.schedules.PolynomialDecay(0.0, int(0.4 * steps), 1.0)
    model = mopoe.MultimodalVAE(encoders, decoders, joint_posterior, mopoe.objectives.ELBO(beta), seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=FLAGS.clip))
    model.fit(data.inputs, batch_size=FLAGS.batch_size, epochs=epochs, verbose=0)
    return model


def rmse(data, made):
    """Compute the rmse over all hidden cells, in standard deviations of their columns."""
    errors = [((made[name] - truth) / data.spread[name])[~np.isnan(truth)] for name, truth in data.truth.items()]
    return float(np.sqrt(np.mean(np.square(np.concatenate(errors)))))


def coverage(data, model, refine_steps):
    """Compute the share of the hidden cells that lie in their 90 % intervals."""
    inside = []
    for name, truth in data.truth.items():
        rows = ~np.isnan(truth).all(axis=1)
        inputs = {other: x[rows] for other, x in data.inputs.items()}
        draws = model.posterior_predictive(inputs, name, DRAWS, seed=0, refine_steps=refine_steps)
        low, high = np.quantile(draws, INTERVAL, axis=0)
        inside.append(((low <= truth[rows]) & (truth[rows] <= high))[~np.isnan(truth[rows])])
    return float(np.mean(np.concatenate(inside)))


def agreement(data, model):
    """Compute the adjusted Rand index of k-means on the embeddings against the true clusters."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    means = KMeans(len(np.unique(data.clusters)), n_init=10, random_state=0)
    return adjusted_rand_score(data.clusters, means.fit_predict(model.embed(data.inputs)))


def print_row(*cells):
    print(" | ".join(["|", *map(str, cells), "|"]).replace("| | ", "| ").replace(" | |", " |"), flush=True)


def main(_):
    commands.refuse(["rate" if FLAGS.data == "hospital" else "likelihoods"], f"with --data={FLAGS.data}")
    seeds, refine_steps = commands.integers("seeds"), commands.integers("refine_steps")
    print_row("imputed by", "rmse", "90 % intervals cover", "adjusted Rand", "training, s", "imputing, s")
    print_row(*["---"] * 6)
    defaults = DEFAULTS[FLAGS.data]
    settings = {name: default if FLAGS[name].value is None else FLAGS[name].value for name, default in defaults.items()}
    for seed in seeds:
        data = Cells(FLAGS.rate, seed) if FLAGS.data == "cells" else Hospital(FLAGS.likelihoods, seed)
        start = time.time()
        model = trained(data, seed, **settings)
        seconds = time.time() - start
        rand = "" if data.clusters is None else f"{agreement(data, model):.3f}"
        for steps in refine_steps:
            start = time.time()
            made = model.impute(data.inputs, seed=0, refine_steps=steps)
            imputing = time.time() - start
            name = f"tf_mopoe, seed {seed}" + f", {steps} refining steps" * bool(steps)
            cover = f"{coverage(data, model, steps):.3f}"
            print_row(name, f"{rmse(data, made):.3f}", cover, rand, f"{seconds:.0f}", f"{imputing:.1f}")
        for name, made, spent in data.others():
            print_row(f"{name}, split {seed}", f"{rmse(data, made):.3f}", "", "", f"{spent:.1f}", "")


if __name__ == "__main__":
    commands.run(main)
