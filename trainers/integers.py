"""Models of integers: bits per dimension of MNIST's bytes, and the memory that a large vocabulary takes.

    python -m trainers.integers --work=bits --data_dir=DIR --seeds=0,1,2
    python -m trainers.integers --work=tokens

bits: 784-512-20 networks on the 60,000 bytes of the training split; log p(x) of the 10,000 of the test split by importance
sampling (64 draws), in bits per dimension. Normal and Laplace are densities of the same numbers: how they compare with
probabilities depends on the unit, so that they stand beside and not against. Beside them also what the compressors of
Python need for the test split as one file.
tokens: three training steps of 256 pictures and texts of 64 tokens, by an embedding and a GRU, vocabulary 20,000; the peak
of resident memory before and after.
"""

import bz2
import lzma
import resource
import time
import zlib

import keras
import numpy as np
from absl import app, flags

import tf_mopoe as mopoe
from tf_mopoe.datasets.mnist import mnist
from trainers import commands

FLAGS = flags.FLAGS
flags.DEFINE_enum("work", "bits", ["bits", "tokens"], "What is measured.")
flags.DEFINE_string("data_dir", None, "Where MNIST is: mnist.npz or the official files.")
flags.DEFINE_list("seeds", ["0"], "Of the models.")
flags.DEFINE_integer("epochs", 10, "Of training.", lower_bound=1)
L = mopoe.likelihoods
PIXELS = {
    "DiscretizedLogistic(predicted)": lambda: L.DiscretizedLogistic("predicted"),
    "DiscretizedLogistic(learned)": lambda: L.DiscretizedLogistic("learned"),
    "Normal(learned), a density": lambda: L.Normal("learned", standardize=True),
    "Laplace(learned), a density": lambda: L.Laplace("learned", standardize=True),
}
SHAPE, LATENT_DIM, UNITS = (28, 28, 1), 20, (512,)
COMPRESSORS = {"gzip": zlib.compress, "bzip2": bz2.compress, "xz": lzma.compress}
ROWS, LENGTH, VOCABULARY = 256, 64, 20_000


def picture_model(likelihood, seed):
    keras.utils.set_random_seed(seed)
    network = keras.Sequential([keras.layers.Dense(*UNITS, "relu")])
    return mopoe.MultimodalVAE(
        {"x": mopoe.GaussianEncoder(mopoe.networks.mlp_encoder(SHAPE, UNITS), LATENT_DIM, normalization="standard")},
        {"x": mopoe.Decoder(network, likelihood, event_shape=SHAPE)},
        seed=seed,
    )


def bits():
    train, test = (mnist(FLAGS.data_dir, split)[0][..., None] for split in ("train", "test"))
    print("| likelihood | seed | bits per dimension, test | training, s |\n|---|---|---|---|")
    for name, compress in COMPRESSORS.items():
        print(f"| {name} | | {8 * len(compress(test.tobytes())) / test.size:.3f} | |")
    for seed in commands.integers("seeds"):
        for name, make in PIXELS.items():
            model = picture_model(make(), seed)
            model.compile(keras.optimizers.Adam(1e-3))
            start = time.time()
            model.fit({"x": train}, batch_size=128, epochs=FLAGS.epochs, verbose=0)
            seconds = time.time() - start
            nats = model.log_likelihood({"x": test}, num_samples=64, seed=0)
            value = mopoe.evaluation.bits_per_dimension(nats, np.prod(SHAPE)).mean()
            print(f"| {name} | {seed} | {value:.3f} | {seconds:.0f} |", flush=True)


def peak():
    """Return the peak of this process' resident memory, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tokens():
    rng = np.random.default_rng(0)
    data = {
        "text": rng.integers(0, VOCABULARY, (ROWS, LENGTH)).astype(np.int32),
        "picture": rng.random((ROWS, *SHAPE)).astype(np.float32),
    }
    text = keras.Sequential([keras.layers.Embedding(VOCABULARY, 64), keras.layers.GRU(128)])
    sequence = keras.Sequential(
        [keras.layers.RepeatVector(LENGTH), keras.layers.GRU(128, return_sequences=True), keras.layers.Dense(64)]
    )
    encode, decode = mopoe.networks.mlp_encoder, mopoe.networks.mlp_decoder
    model = mopoe.MultimodalVAE(
        {"text": mopoe.GaussianEncoder(text, LATENT_DIM), "picture": mopoe.GaussianEncoder(encode(SHAPE), LATENT_DIM)},
        {
            "text": mopoe.Decoder(sequence, L.Tokens(VOCABULARY, padding=0)),
            "picture": mopoe.Decoder(decode(SHAPE, LATENT_DIM), L.Normal(0.1)),
        },
    )
    model.compile(keras.optimizers.Adam(1e-3))
    before = peak()
    for _ in range(3):
        start = time.time()
        model.train_on_batch(data)
    print(f"peak before the training: {before:.0f} MB; after: {peak():.0f} MB; one step: {time.time() - start:.2f} s")
    print(f"(as one-hot vectors the text of a batch alone: {4 * ROWS * LENGTH * VOCABULARY / 2**20:.0f} MB)")


def main(_):
    if FLAGS.work == "bits" and not FLAGS.data_dir:
        raise app.UsageError("--work=bits needs --data_dir, where MNIST is")
    if FLAGS.work == "tokens":
        commands.refuse(["data_dir", "seeds", "epochs"], "with --work=tokens")
    {"bits": bits, "tokens": tokens}[FLAGS.work]()


if __name__ == "__main__":
    commands.run(main)
