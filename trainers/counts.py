"""Counts of single cells: how likely held-out cells are by several likelihoods, and a whole assay imputed.

    python -m trainers.counts --work=likelihood --seeds=0,1,2
    python -m trainers.counts --work=assay --seeds=0,1,2
    python -m trainers.counts --work=likelihood --export=cells.npz    # the counts and the split, for other programs

The data is bundled with scanpy, no download: 700 blood cells of Zheng et al. 2017 ("PBMC 68k", 10x Genomics), of
which it keeps 765 genes. Their counts are found again from its logarithms. Half of the genes are one modality, the others
another one. Needs scanpy (its file alone, `pip install --no-deps scanpy`), SciPy and scikit-learn.
"""

import importlib.util
import pathlib
import time

import h5py
import keras
import numpy as np
from absl import app, flags

import tf_mopoe as mopoe
from trainers import commands

FLAGS = flags.FLAGS
flags.DEFINE_enum("work", "likelihood", ["likelihood", "assay"], "What is measured.")
flags.DEFINE_list("seeds", ["0"], "Of the model and the split.")
flags.DEFINE_string("export", None, "File to write the counts and the test rows to, and no more.")
flags.DEFINE_integer("latent_dim", 10, "Latent variables.", lower_bound=1)
flags.DEFINE_integer("hidden_units", 128, "Of the one hidden layer of each network.", lower_bound=1)
flags.DEFINE_integer("epochs", 100, "Of training.", lower_bound=1)
FILE = "datasets/10x_pbmc68k_reduced.h5ad"
SAMPLES = 1000  # of importance sampling
L = mopoe.likelihoods
LIKELIHOODS = {
    "Poisson": lambda: L.Poisson(size_factor="total"),
    "NegativeBinomial": lambda: L.NegativeBinomial(size_factor="total"),
    "ZeroInflated(NegativeBinomial)": lambda: L.ZeroInflated(L.NegativeBinomial(size_factor="total")),
}


def load():
    """Load counts [700, 765], float32, from scanpy's file: its rows are log(1 + 10,000 count / total)."""
    spec = importlib.util.find_spec("scanpy")
    if spec is None:
        raise app.UsageError("This needs the data in scanpy's wheel: pip install --no-deps scanpy")
    with h5py.File(pathlib.Path(spec.origin).parent / FILE) as file:
        raw, totals = file["raw.X"], file["obs"]["n_counts"]
        starts, columns, logs = (raw[name][:] for name in ("indptr", "indices", "data"))
        counts = np.zeros((len(totals), len(file["raw.var"])))
    for row, total in enumerate(totals):
        part = slice(starts[row], starts[row + 1])
        counts[row, columns[part]] = np.expm1(logs[part].astype(float)) * total / 1e4
    found = np.round(counts)
    if np.abs(counts - found).max() > 0.05 * found.max() or np.quantile(np.abs(counts - found), 0.999) > 0.02:
        raise ValueError("The file of this version of scanpy does not hold logarithms of counts")
    return found.astype(np.float32)


def trained(inputs, likelihood, seed):
    """Train a model of modalities of counts."""
    keras.utils.set_random_seed(seed)
    encode, units, latent_dim = mopoe.networks.mlp_encoder, (FLAGS.hidden_units,), FLAGS.latent_dim
    sizes = {name: x.shape[1] for name, x in inputs.items()}
    model = mopoe.MultimodalVAE(
        {
            name: mopoe.GaussianEncoder(encode(size, units), latent_dim, normalization="log1p_share")
            for name, size in sizes.items()
        },
        {
            name: mopoe.Decoder(
                keras.Sequential([keras.layers.Dense(*units, "relu")]), LIKELIHOODS[likelihood](), event_shape=size
            )
            for name, size in sizes.items()
        },
        seed=seed,
    )
    steps = FLAGS.epochs * -(-len(next(iter(inputs.values()))) // 64)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)))
    model.fit(inputs, batch_size=64, epochs=FLAGS.epochs, verbose=0)
    return model


def split(count, seed):
    """Return the numbers of the rows for training and for the test, one in five."""
    order = np.random.default_rng(seed).permutation(count)
    return order[count // 5 :], order[: count // 5]


def likelihoods(counts, seed):
    """Measure nats per held-out cell, given the totals of its counts, for each likelihood."""
    train, test = split(len(counts), seed)
    for name in LIKELIHOODS:
        start = time.time()
        model = trained({"rna": counts[train]}, name, seed)
        seconds = time.time() - start
        nats = model.log_likelihood({"rna": counts[test]}, SAMPLES, seed=0).numpy()
        print(f"| {name}, seed {seed} | {nats.mean():.1f} | {seconds:.0f} |", flush=True)


def assay(counts, seed):
    """Predict the second half of the genes from the first, for held-out cells: rmse of log(1 + 10,000 share)."""
    from sklearn.linear_model import RidgeCV

    train, test = split(len(counts), seed)
    parts = {"one": counts[:, ::2], "two": counts[:, 1::2]}
    logs = {name: np.log1p(1e4 * x / x.sum(axis=1, keepdims=True)) for name, x in parts.items()}
    truth, spread = logs["two"][test], logs["two"][train].std(axis=0) + 1e-6

    def error(made):
        return float(np.sqrt(np.mean(np.square((made - truth) / spread))))

    ridge = RidgeCV(np.logspace(1, 6, 11)).fit(logs["one"][train], logs["two"][train])
    print(f"| ridge regression, split {seed} | {error(ridge.predict(logs['one'][test])):.3f} | |")
    print(f"| mean, split {seed} | {error(logs['two'][train].mean(axis=0)):.3f} | |")
    for name in LIKELIHOODS:
        start = time.time()
        model = trained({part: x[train] for part, x in parts.items()}, name, seed)
        seconds = time.time() - start
        draws = model.posterior_predictive({"one": parts["one"][test]}, "two", 100, seed=0).numpy()
        shares = draws / np.maximum(draws.sum(axis=2, keepdims=True), 1)
        made = np.log1p(1e4 * shares).mean(axis=0)
        print(f"| {name}, seed {seed} | {error(made):.3f} | {seconds:.0f} |", flush=True)


def main(_):
    counts = load()
    if FLAGS.export:
        splits = {f"test_{seed}": split(len(counts), int(seed))[1] for seed in FLAGS.seeds}
        np.savez_compressed(FLAGS.export, counts=counts, **splits)
        return
    what = "nats of a held-out cell" if FLAGS.work == "likelihood" else "rmse, standard deviations"
    print(f"| | {what} | training, s |\n|---|---|---|")
    for seed in map(int, FLAGS.seeds):
        {"likelihood": likelihoods, "assay": assay}[FLAGS.work](counts, seed)


if __name__ == "__main__":
    commands.run(main)
