"""Experiments of the trainers: a data set, its networks and likelihoods, its classifiers, how to draw it.

A new experiment is one more class with these members, and its name in `EXPERIMENTS`:

    sources                     flags that say where its data is: the constructor's arguments
    defaults                    of the flags that it has its own of
    private_dim                 for the methods that are about private latent variables
    load(split, seed, epoch)    -> `Rows` (or arrays by name), labels [N]
    model(latent_dim, private_dim, method=...)    -> `MultimodalVAE`, by a `tf_mopoe.methods.Method`
    train_classifiers(seed)     -> {name: Keras classifier} of the modalities that need a trained one
    label_functions             {name: function x -> classes} of modalities whose class is read without training
    other_label_functions       a second such function, for `conditional_coherence_expected_matches`
    plotters                    {name: function (axes, x)} that draw one value
    data, description           the training data and its terms, a sentence, and the generated data, some words: for the card
"""

import functools

from absl import app, flags

import tf_mopoe as mopoe
from tf_mopoe import plots
from tf_mopoe.datasets import digits, text
from tf_mopoe.datasets.mnist_svhn_text import nearest_digit
from tf_mopoe.datasets.rows import Rows
from tf_mopoe.networks import digits as digit_networks
from tf_mopoe.networks import mnist_svhn_text as mst_networks
from tf_mopoe.networks import polymnist as polymnist_networks
from trainers import commands
from trainers.methods import METHODS

# The flags that a data set may have its own default of.
DEFAULTS = {
    "latent_dim": 20,
    "beta": 2.5,
    "warm_up_epochs": 0,
    "warm_up_beta": 0.5,
    "learning_rate": 1e-3,
    "epochs": 50,
    "batch_size": 256,
}
Laplace, Categorical = mopoe.likelihoods.Laplace, mopoe.likelihoods.Categorical


class Digits:
    """Picture, synthetic (or real) speech and word: the embedded data set."""

    sources = ("speech",)
    data = (
        "10,000 pictures of MNIST (Y. LeCun and C. Cortes, usually cited as CC BY-SA 3.0), 2,250 recordings of espeak-ng's "
        "voices, and the digits' names; sources and terms: tf_mopoe/datasets/data/README.md."
    )
    description = "small grey digits, log-mel pictures of synthetic speech and single words"
    # The word weighs twice as much as speech, not 256 times as "dimension" would have it: BUILD.md, "The digits' settings".
    defaults = DEFAULTS | {"epochs": 45, "batch_size": 128}
    plotters = {"image": plots.picture, "speech": plots.log_mel, "word": plots.word(digits.read_words)}
    label_functions = {"word": digits.nearest_digit}
    other_label_functions = {"word": functools.partial(digits.nearest_digit, expected=True)}  # see there
    weights = {"image": 2048 / 784, "speech": 1.0, "word": 2.0}  # of the reconstruction terms
    private_dim = 4
    # Pictures and speech show their class best at the centre; a word needs an offset, which a draw decides.
    private_temperature = {"image": 0.0, "speech": 0.0, "word": 1.0}

    def __init__(self, speech=None):
        """`speech`: path of real recordings to use instead of the synthetic ones."""
        self.speech = speech
        if speech:
            self.data = self.data.replace("2,250 recordings of espeak-ng's voices", "recordings of voices (--speech)")

    def load(self, split, seed=0, epoch=0):
        speech = mopoe.datasets.free_spoken_digits(self.speech, split) if self.speech else None
        return mopoe.datasets.load_digits(split, seed=seed, epoch=epoch, speech=speech)

    def model(self, latent_dim, private_dim=0, **kwargs):
        size = latent_dim + private_dim
        networks = {
            "image": (digit_networks.image_encoder(), digit_networks.image_decoder(size), Laplace(0.75)),
            "speech": (digit_networks.speech_encoder(), digit_networks.speech_decoder(size), Laplace(0.75)),
            "word": (digit_networks.word_encoder(), digit_networks.word_decoder(size), Categorical()),
        }
        settings = {"reconstruction_weights": self.weights, "private_temperature": self.private_temperature}
        return assemble(networks, latent_dim, private_dim, **settings | kwargs)

    def train_classifiers(self, seed=0):
        """Train on the embedded training split, whatever `speech` is."""
        data = digits.arrays()
        epochs = {"image": 12, "speech": 20}
        return {
            name: mopoe.evaluation.train_classifier(
                digits.as_picture(data[f"train_{name}"]), data[f"train_{name}_label"], epochs=count, seed=seed
            )
            for name, count in epochs.items()
        }


class MnistSvhnText:
    """The paper's first experiment, with its networks and settings."""

    sources = ("data_dir",)
    data = (
        "MNIST (Y. LeCun and C. Cortes, usually cited as CC BY-SA 3.0) and SVHN (Netzer et al. 2011, for non-commercial "
        "use), paired by label, and the digits' names."
    )
    description = "small pictures of digits and single words"
    defaults = DEFAULTS
    plotters = {"text": plots.word(text.read_text)}
    label_functions = {"text": nearest_digit}
    other_label_functions = {"text": functools.partial(nearest_digit, expected=True)}
    private_dim = 4
    private_temperature = 0.5  # at 0 SVHN is the grey between bright and dark digits

    def __init__(self, data_dir):
        """`data_dir`: folder with (or for) MNIST and SVHN, see `datasets.mnist_svhn_text`."""
        self.data_dir = data_dir

    def load(self, split, seed=0, epoch=0):
        return mopoe.datasets.mnist_svhn_text(self.data_dir, split, seed=seed, epoch=epoch)

    def model(self, latent_dim, private_dim=0, **kwargs):
        size = latent_dim + private_dim
        networks = {
            "mnist": (mst_networks.mnist_encoder(), mst_networks.mnist_decoder(size), Laplace(0.75)),
            "svhn": (mst_networks.svhn_encoder(), mst_networks.svhn_decoder(size), Laplace(0.75)),
            "text": (mst_networks.text_encoder(), mst_networks.text_decoder(size), Categorical()),
        }
        settings = {"reconstruction_weights": "dimension", "private_temperature": self.private_temperature}
        return assemble(networks, latent_dim, private_dim, **settings | kwargs)

    def train_classifiers(self, seed=0):
        rows, labels = self.load("train", seed=seed)
        epochs = {"mnist": 4, "svhn": 10}
        inputs = rows[:]
        return {
            name: mopoe.evaluation.train_classifier(inputs[name], labels, epochs=count, seed=seed)
            for name, count in epochs.items()
        }


class PolyMNIST:
    """The paper's third experiment, with its networks and settings: digits on crops of several pictures."""

    sources = ("data_dir", "backgrounds")
    data = (
        "MNIST (Y. LeCun and C. Cortes, usually cited as CC BY-SA 3.0) on crops of photographs: the five of "
        "scikit-image's that datasets.polymnist names, if no --backgrounds were given."
    )
    description = "small coloured pictures of digits"
    defaults = DEFAULTS | {"latent_dim": 512, "learning_rate": 5e-4, "epochs": 300}
    plotters, label_functions, other_label_functions = {}, {}, {}
    encoder_sizes, decoder_sizes = {}, {}  # the published ones
    private_dim, private_temperature = 32, 0.5  # 32: MMVAE+'s

    def __init__(self, data_dir, backgrounds=None):
        """`data_dir`: where MNIST is; `backgrounds`: pictures or their folder, see `datasets.polymnist`."""
        self.data_dir, self.backgrounds = data_dir, backgrounds

    def load(self, split, seed=0, epoch=0):
        """Load the pictures, which change neither with `epoch` nor with `seed`: they are one data set."""
        return mopoe.datasets.polymnist(self.data_dir, self.backgrounds, split)

    def model(self, latent_dim, private_dim=0, **kwargs):
        size = latent_dim + private_dim
        rows, _ = self.load("test")
        networks = {
            name: (
                polymnist_networks.encoder(**self.encoder_sizes),
                polymnist_networks.decoder(size, **self.decoder_sizes),
                Laplace(0.75),
            )
            for name in rows[:1]
        }
        settings = {"reconstruction_weights": "dimension", "private_temperature": self.private_temperature}
        return assemble(networks, latent_dim, private_dim, **settings | kwargs)

    def train_classifiers(self, seed=0):
        rows, labels = self.load("train")
        inputs = rows[:30000]
        return {
            name: mopoe.evaluation.train_classifier(x, labels[: len(x)], epochs=3, seed=seed)
            for name, x in inputs.items()
        }


class SmallPolyMNIST(PolyMNIST):
    """PolyMNIST with networks of a tenth of the parameters and 64 latent variables, for an hour on one core."""

    defaults = PolyMNIST.defaults | {"latent_dim": 64, "learning_rate": 1e-3, "epochs": 50}
    encoder_sizes, decoder_sizes = {"filters": 16, "hidden_units": 128}, {"filters": 16}


def assemble(networks, latent_dim, private_dim, method, private_temperature=1.0, learned_scales=False, **kwargs):
    """Assemble a `MultimodalVAE` of {name: (encoder network, decoder network, likelihood)} and a `methods.Method`."""
    if learned_scales:
        learned = {name: Laplace("learned") for name, parts in networks.items() if isinstance(parts[2], Laplace)}
        networks = {name: (*parts[:2], learned.get(name, parts[2])) for name, parts in networks.items()}
    if private_dim:
        kwargs["private_temperature"] = private_temperature
    return mopoe.MultimodalVAE(
        encoders={n: method.encoder(network, latent_dim, private_dim) for n, (network, _, _) in networks.items()},
        decoders={n: mopoe.Decoder(network, likelihood) for n, (_, network, likelihood) in networks.items()},
        method=method,
        **kwargs,
    )


def private_dim(experiment, method):
    """Return the default number of private latent variables of each modality."""
    return experiment.private_dim if METHODS[method](1.0).needs_private else 0


def make(settings):
    """Create the experiment of a run's flags, {flag: value}."""
    experiment = EXPERIMENTS[settings["dataset"]]
    return experiment(**{name: settings[name] for name in experiment.sources})


def check_sources(dataset):
    """Raise a usage error for a flag that names another data set's location."""
    sources = EXPERIMENTS[dataset].sources
    others = {name for experiment in EXPERIMENTS.values() for name in experiment.sources} - set(sources)
    own = ", ".join(f"--{name}" for name in sources) or "no flag"
    commands.refuse(sorted(others & set(flags.FLAGS)), f"with --dataset={dataset}, whose data is named by {own}")


def load(experiment, split, seed=0, epoch=0):
    """Load (`Rows`, labels) of an experiment."""
    if "data_dir" in experiment.sources and experiment.data_dir is None:
        raise app.UsageError("--dataset needs --data_dir, the folder where the data is or is to be put. Received: none")
    inputs, labels = experiment.load(split, seed=seed, epoch=epoch)
    return Rows.of(inputs), labels


EXPERIMENTS = {
    "digits": Digits,
    "mnist_svhn_text": MnistSvhnText,
    "polymnist": PolyMNIST,
    "small_polymnist": SmallPolyMNIST,
}
