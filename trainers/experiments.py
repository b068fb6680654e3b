"""What the trainers can train: a data set, its networks and likelihoods, its classifiers, how to draw it.

A new experiment is one more class with these methods, and its name in `EXPERIMENTS`.
"""

import functools

import tf_mopoe as mopoe
from tf_mopoe import plots
from tf_mopoe.datasets import digits
from tf_mopoe.networks import digits as networks


class Digits:
    """Picture, synthetic (or real) speech and word: the embedded data set."""

    # Flags' defaults. The word weighs twice as much as speech, not 256 times as
    # "dimension" would have it: BUILD.md, "The digits' settings", says what was tried.
    defaults = {
        "latent_dim": 20,
        "beta": 2.5,
        "warm_up_epochs": 0,
        "warm_up_beta": 0.5,
        "learning_rate": 1e-3,
        "epochs": 45,
        "batch_size": 128,
    }
    reconstruction_weights = {"image": 2048 / 784, "speech": 1.0, "word": 2.0}
    drawers = {"image": plots.picture, "speech": plots.log_mel, "word": plots.word(digits.read_words)}
    readers = {"word": digits.nearest_digit}  # read without training
    other_readers = {"word": functools.partial(digits.nearest_digit, expected=True)}  # see there

    def __init__(self, speech=None):
        """`speech`: path of real recordings to use instead of the synthetic ones."""
        self.speech = speech

    def load(self, split, seed=0, epoch=0):
        speech = mopoe.datasets.free_spoken_digits(self.speech, split) if self.speech else None
        return mopoe.datasets.load_digits(split, seed=seed, epoch=epoch, speech=speech)

    def model(self, latent_dim, joint_posterior, objective, seed):
        encoder, decoder = mopoe.GaussianEncoder, mopoe.Decoder
        laplace = mopoe.likelihoods.Laplace
        return mopoe.MultimodalVAE(
            encoders={
                "image": encoder(networks.image_encoder(), latent_dim),
                "speech": encoder(networks.speech_encoder(), latent_dim),
                "word": encoder(networks.word_encoder(), latent_dim),
            },
            decoders={
                "image": decoder(networks.image_decoder(latent_dim), laplace(0.75)),
                "speech": decoder(networks.speech_decoder(latent_dim), laplace(0.75)),
                "word": decoder(networks.word_decoder(latent_dim), mopoe.likelihoods.Categorical()),
            },
            joint_posterior=joint_posterior,
            objective=objective,
            reconstruction_weights=self.reconstruction_weights,
            seed=seed,
        )

    def train_classifiers(self, seed=0):
        """{name: Keras classifier} of the modalities that need one, trained on the embedded training split."""
        data = digits.arrays()
        epochs = {"image": 12, "speech": 20}
        return {
            name: mopoe.evaluation.train_classifier(
                digits.as_picture(data[f"train_{name}"]), data[f"train_{name}_label"], epochs=count, seed=seed
            )
            for name, count in epochs.items()
        }


EXPERIMENTS = {"digits": Digits}

# method -> (joint posterior, KL of its bound): MMVAE's bound has the density of the whole mixture.
METHODS = {"mopoe": ("mopoe", "components"), "mvae": ("mvae", "components"), "mmvae": ("mmvae", "mixture")}
