"""MultiVae (PyTorch) on the rows that trainers.against_peer wrote, in the peer's environment: trains, translates, draws.

    peer/bin/python -I trainers/peer_digits.py --method=mopoe --folder=DIR     # as trainers.against_peer starts it

Reads settings.json, train_*.npz (the rows of an epoch, in order) and test.npz; writes made.npz, what was generated, and
prints the seconds of training.
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


def make(method, shapes, settings):
    """Build the model of a method with the networks and settings of ours."""
    latent_dim, private_dim = settings["latent_dim"], settings["private_dim"]
    encoders, decoders = {}, {}
    for name, shape in shapes.items():
        size, hidden = int(np.prod(shape)), HIDDEN[name]
        network = nn.Sequential(nn.Flatten(), with_relu(nn.Linear(size, hidden), nn.Linear(hidden, hidden)))
        last = [] if name == "word" else [nn.Sigmoid()]
        first = with_relu(nn.Linear(latent_dim + private_dim, hidden), nn.Linear(hidden, hidden))
        decode = nn.Sequential(first, nn.Linear(hidden, size), *last, nn.Unflatten(1, shape))
        if private_dim:
            encoders[name] = PrivateEncoder(network, hidden, latent_dim, private_dim)
        else:
            encoders[name] = Encoder(network, hidden, latent_dim)
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
        return {name: torch.from_numpy(file[name] / np.float32(255.0)) for name in file.files}


def train(model, paths, settings):
    """Train on the epochs' rows in their order; return the seconds, without those of reading."""
    optimizer, seconds = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"]), 0.0
    size = settings["batch_size"]
    model.train()
    for path in paths:
        rows = rows_of(path)
        began = time.perf_counter()
        for start in range(0, len(next(iter(rows.values()))), size):
            optimizer.zero_grad()
            batch = {name: x[start : start + size] for name, x in rows.items()}
            model(MultimodalBaseDataset(data=batch)).loss.backward()
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
            made |= {f"{'+'.join(given)}>{name}": output[name].numpy() for name in targets}
    drawn = model.decode(model.generate_from_prior(count))
    return made | {f">{name}": drawn[name].numpy() for name in names}


def main(arguments):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    folder = pathlib.Path(arguments.folder)
    settings = json.loads((folder / "settings.json").read_text())
    torch.manual_seed(settings["seed"])
    test = rows_of(folder / "test.npz")
    model = make(arguments.method, {name: tuple(x.shape[1:]) for name, x in test.items()}, settings)
    paths = sorted(folder.glob("train_*.npz"))[: settings["epochs"]]
    seconds = train(model, paths, settings)
    np.savez(folder / "made.npz", **made_by(model, test))
    print(json.dumps({"seconds": seconds, "parameters": sum(p.numel() for p in model.parameters())}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=["mopoe", "mmvae_plus"], default="mopoe")
    parser.add_argument("--folder", required=True)
    main(parser.parse_args())
