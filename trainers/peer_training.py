"""MultiVae (PyTorch) on the rows that trainers.against_peer wrote, in the peer's environment: trains, translates, draws.

    peer/bin/python -I trainers/peer_training.py --method=mopoe --folder=DIR     # as trainers.against_peer starts it

Reads settings.json, train_*.npz (the rows of an epoch; an epoch without a file has those of the last), order_*.npy (their
order in each epoch) and test.npz; writes made.npz, what was generated, and prints the seconds of training. Pictures of
several colours have these last in the files.
"""

import argparse
import itertools
import json
import os
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).parent))  # -I leaves it out

from peer_multivae import Decoder, Encoder, with_relu  # before MultiVae, which it makes importable

# isort: split
import numpy as np
import torch
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MMVAEPlus, MMVAEPlusConfig, MoPoE, MoPoEConfig
from multivae.models.nn.base_architectures import BaseMultilatentEncoder
from pythae.models.base.base_utils import ModelOutput
from torch import nn

HIDDEN = {"image": 320, "speech": 160, "word": 192}  # of tf_mopoe.networks.digits
COLOURS = 3


class PrivateEncoder(BaseMultilatentEncoder):
    """An encoder of z and w, by heads on the same features."""

    def __init__(self, network, features, latent_dim, private_dim):
        super().__init__()
        self.network, self.latent_dim, self.style_dim = network, latent_dim, private_dim
        sizes = latent_dim, latent_dim, private_dim, private_dim
        self.heads = nn.ModuleList(nn.Linear(features, size) for size in sizes)

    def forward(self, x):
        features = self.network(x)
        names = "embedding", "log_covariance", "style_embedding", "style_log_covariance"
        return ModelOutput(**{name: head(features) for name, head in zip(names, self.heads)})


def digits_networks(name, shape, size):
    """Build those of tf_mopoe.networks.digits, for latent variables [B, size]: encoder, its features, decoder."""
    pixels, hidden = int(np.prod(shape)), HIDDEN[name]
    encode = nn.Sequential(nn.Flatten(), with_relu(nn.Linear(pixels, hidden), nn.Linear(hidden, hidden)))
    last = [] if name == "word" else [nn.Sigmoid()]
    first = with_relu(nn.Linear(size, hidden), nn.Linear(hidden, hidden))
    return encode, hidden, nn.Sequential(first, nn.Linear(hidden, pixels), *last, nn.Unflatten(1, shape))


def small_polymnist_networks(name, shape, size, filters=16, hidden=128):
    """Build those of tf_mopoe.networks.polymnist as the experiment has them, as `digits_networks` does."""
    sizes = (COLOURS, filters, 3, 2, 1), (filters, 2 * filters, 3, 2, 1), (2 * filters, 4 * filters, 3, 2, 1)
    convolutions = with_relu(*(nn.Conv2d(*layer) for layer in sizes))
    encode = nn.Sequential(convolutions, nn.Flatten(), with_relu(nn.Linear(64 * filters, hidden)))
    first = with_relu(nn.Linear(size, 64 * filters)), nn.Unflatten(1, (4 * filters, 4, 4))
    sizes = (4 * filters, 2 * filters, 3, 2, 1, 0), (2 * filters, filters, 3, 2, 1, 1)
    middle = with_relu(*(nn.ConvTranspose2d(*layer) for layer in sizes))
    return encode, hidden, nn.Sequential(*first, middle, nn.ConvTranspose2d(filters, COLOURS, 3, 2, 1, 1))


NETWORKS = {"digits": digits_networks, "small_polymnist": small_polymnist_networks}


def make(method, shapes, settings):
    """Build the model of a method with the networks and settings of ours."""
    latent_dim, private_dim = settings["latent_dim"], settings["private_dim"]
    encoders, decoders = {}, {}
    for name, shape in shapes.items():
        encode, features, decode = NETWORKS[settings["dataset"]](name, shape, latent_dim + private_dim)
        if private_dim:
            encoders[name] = PrivateEncoder(encode, features, latent_dim, private_dim)
        else:
            encoders[name] = Encoder(encode, features, latent_dim)
        decoders[name] = Decoder(decode, latent_dim + private_dim)
    common = {
        "n_modalities": len(shapes),
        "latent_dim": latent_dim,
        "input_dims": shapes,
        "decoders_dist": {name: "categorical" if name == "word" else "laplace" for name in shapes},
        "decoder_dist_params": {name: {"scale": 0.75} for name in shapes if name != "word"},
        "uses_likelihood_rescaling": True,
        "rescale_factors": settings["weights"],
        "beta": settings["beta"],
    }
    if method == "mmvae_plus":
        config = MMVAEPlusConfig(K=1, modalities_specific_dim=private_dim, loss="iwae_looser", **common)
        model = MMVAEPlus(config, encoders, decoders)
    else:
        model = MoPoE(MoPoEConfig(**common), encoders, decoders)
    model.device = "cpu"
    return model


def rows_of(path):
    with np.load(path) as file:
        return {name: torch.from_numpy(colours_first(file[name])) for name in file.files}


def of_batch(rows, index):
    """Return rows of bytes as numbers from 0 to 1."""
    return {name: x[index].float() / 255.0 for name, x in rows.items()}


def colours_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.shape[-1] == COLOURS else x


def colours_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim == 4 and x.shape[1] == COLOURS else x


def train(model, folder, settings):
    """Train on the epochs' rows in their order; return the seconds of the steps, without those of reading the rows."""
    optimizer, seconds = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"]), 0.0
    size, rows = settings["batch_size"], None
    model.train()
    for epoch in range(settings["epochs"]):
        path = folder / f"train_{epoch:03d}.npz"
        rows = rows_of(path) if path.exists() else rows
        order = np.load(folder / f"order_{epoch:03d}.npy")
        for start in range(0, len(order), size):
            batch = MultimodalBaseDataset(data=of_batch(rows, order[start : start + size]))
            began = time.perf_counter()
            optimizer.zero_grad()
            model(batch).loss.backward()
            optimizer.step()
            seconds += time.perf_counter() - began
    return seconds


@torch.no_grad()
def made_by(model, test):
    """Generate {"given+given>target": rows} from each subset, and {">target": rows} from the prior."""
    model.eval()
    made, names, count = {}, list(test), len(next(iter(test.values())))
    for size in range(1, len(names)):
        for given in itertools.combinations(names, size):
            targets = [name for name in names if name not in given]
            rows = MultimodalBaseDataset(data=test)
            output = model.predict(rows, cond_mod=list(given), gen_mod=targets)
            made |= {f"{'+'.join(given)}>{name}": colours_last(output[name].numpy()) for name in targets}
    drawn = model.decode(model.generate_from_prior(count))
    return made | {f">{name}": colours_last(drawn[name].numpy()) for name in names}


def main(arguments):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    folder = pathlib.Path(arguments.folder)
    settings = json.loads((folder / "settings.json").read_text())
    torch.manual_seed(settings["seed"])
    test = of_batch(rows_of(folder / "test.npz"), slice(None))
    model = make(arguments.method, {name: tuple(x.shape[1:]) for name, x in test.items()}, settings)
    seconds = train(model, folder, settings)
    np.savez(folder / "made.npz", **made_by(model, test))
    print(json.dumps({"seconds": seconds, "parameters": sum(p.numel() for p in model.parameters())}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=["mopoe", "mmvae_plus"], default="mopoe")
    parser.add_argument("--folder", required=True)
    main(parser.parse_args())
