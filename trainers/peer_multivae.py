"""One process of the benchmark's peer: MultiVae's MoPoE (PyTorch) on the workloads of trainers.workloads.

    peer/bin/python -I trainers/peer_multivae.py --workload=mlp --modalities=8     # as trainers.benchmark starts it

Runs in the peer's environment and knows nothing of this library, but for the lines that trainers.cases speaks too. Where
memory runs out it prints {"failed": why} and ends.
"""

import argparse
import importlib.abc
import importlib.machinery
import itertools
import json
import logging
import os
import resource
import sys
import time
import types


class Unused(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """torchvision and tensorboardX, which MultiVae imports and none of its steps needs, as empty modules."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torchvision", "tensorboardX"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return EmptyModule(spec.name)

    def exec_module(self, module):
        pass


class EmptyModule(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


sys.meta_path.insert(0, Unused())
logging.disable(logging.WARNING)

import torch  # noqa: E402
from multivae.data.datasets.base import MultimodalBaseDataset  # noqa: E402
from multivae.models import MoPoE, MoPoEConfig  # noqa: E402
from multivae.models.base import BaseAEConfig  # noqa: E402
from multivae.models.nn.base_architectures import BaseDecoder, BaseEncoder  # noqa: E402
from multivae.models.nn.mmnist import DecoderConvMMNIST, EncoderConvMMNIST  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from torch import nn  # noqa: E402

MST = {"mnist": (1, 28, 28), "svhn": (3, 32, 32), "text": (8, 71)}
LATENT_DIM = {"polymnist": 512, "mst": 20, "mlp": 32}


class Encoder(BaseEncoder):
    def __init__(self, network, features, latent_dim):
        super().__init__()
        self.network, self.latent_dim = network, latent_dim
        self.loc, self.log_variance = nn.Linear(features, latent_dim), nn.Linear(features, latent_dim)

    def forward(self, x):
        features = self.network(x)
        return ModelOutput(embedding=self.loc(features), log_covariance=self.log_variance(features))


class Decoder(BaseDecoder):
    def __init__(self, network, latent_dim):
        super().__init__()
        self.network, self.latent_dim = network, latent_dim

    def forward(self, z):
        return ModelOutput(reconstruction=self.network(z))


class Transpose(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


def with_relu(*layers):
    return nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())))


def networks(name, workload):
    """Build (encoder, decoder) of one modality, of the sizes of the Keras ones."""
    size = LATENT_DIM[workload]
    if workload == "polymnist":
        config = BaseAEConfig(latent_dim=size, input_dim=(3, 28, 28))
        return EncoderConvMMNIST(config, bias=True), DecoderConvMMNIST(config)
    if workload == "mlp":
        features, encode = 32, with_relu(nn.Linear(16, 32))
        decode = nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, 16))
    elif name == "mnist":
        features, encode = 400, nn.Sequential(nn.Flatten(), with_relu(nn.Linear(784, 400)))
        sigmoid = (nn.Sigmoid(), nn.Unflatten(1, MST[name]))
        decode = nn.Sequential(nn.Linear(size, 400), nn.ReLU(), nn.Linear(400, 784), *sigmoid)
    elif name == "svhn":
        sizes = [(3, 32, 4, 2, 1), (32, 64, 4, 2, 1), (64, 64, 4, 2, 1), (64, 128, 4, 2, 0)]
        features, encode = 128, nn.Sequential(with_relu(*(nn.Conv2d(*s) for s in sizes)), nn.Flatten())
        sizes = [(128, 64, 4, 1, 0), (64, 64, 4, 2, 1), (64, 32, 4, 2, 1)]
        first = with_relu(nn.Linear(size, 128)), nn.Unflatten(1, (128, 1, 1))
        last = nn.ConvTranspose2d(32, 3, 4, 2, 1)
        decode = nn.Sequential(*first, with_relu(*(nn.ConvTranspose2d(*s) for s in sizes)), last)
    else:
        sizes = [(71, 128, 1), (128, 128, 4, 2, 1), (128, 128, 4, 2, 0)]
        features, encode = 128, nn.Sequential(Transpose(), with_relu(*(nn.Conv1d(*s) for s in sizes)), nn.Flatten())
        sizes = [(128, 128, 4, 1, 0), (128, 128, 4, 2, 1)]
        first, last = (nn.Linear(size, 128), nn.Unflatten(1, (128, 1))), (nn.Conv1d(128, 71, 1), Transpose())
        decode = nn.Sequential(*first, with_relu(*(nn.ConvTranspose1d(*s) for s in sizes)), *last)
    return Encoder(encode, features, size), Decoder(decode, size)


def make(workload, modalities):
    """Build MoPoE as MultiVae has it; return the shape of each modality too."""
    shape = (3, 28, 28) if workload == "polymnist" else (16,)
    shapes = MST if workload == "mst" else {f"m{number:02d}": shape for number in range(modalities)}
    likelihood = "normal" if workload == "mlp" else "laplace"
    likelihoods = {name: "categorical" if name == "text" else likelihood for name in shapes}
    scales = {name: {"scale": 0.75} for name, kind in likelihoods.items() if kind == "laplace"}
    rescaling = {"mnist": 3072 / 784, "svhn": 1.0, "text": 3072 / 8} if workload == "mst" else None
    config = MoPoEConfig(
        n_modalities=len(shapes),
        latent_dim=LATENT_DIM[workload],
        input_dims=shapes,
        decoders_dist=likelihoods,
        decoder_dist_params=scales,
        uses_likelihood_rescaling=rescaling is not None,
        rescale_factors=rescaling,
    )
    parts = {name: networks(name, workload) for name in shapes}
    model = MoPoE(config, {n: encoder for n, (encoder, _) in parts.items()}, {n: d for n, (_, d) in parts.items()})
    model.device = "cpu"
    return model, shapes


def random_rows(shapes, batch_size):
    x = {name: torch.rand(batch_size, *shape) for name, shape in shapes.items()}
    if "text" in x:
        x["text"] = nn.functional.one_hot(x["text"].argmax(-1), x["text"].shape[-1]).float()
    return MultimodalBaseDataset(data=x)


def step_of(mode, model, names):
    """Return a function of rows: one train step, or the first modality encoded, or translated to the last."""
    if mode == "train":
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        model.train()

        def train(rows):
            optimizer.zero_grad()
            model(rows).loss.backward()
            optimizer.step()

        return train
    model.eval()
    first, last = names[0], names[-1]
    if mode == "encode":
        return torch.no_grad()(lambda rows: model.encode(rows, cond_mod=[first]))
    return torch.no_grad()(lambda rows: model.predict(rows, cond_mod=[first], gen_mod=[last]))


def main(arguments, send):
    if arguments.memory_gb:
        limit = int(arguments.memory_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    model, shapes = make(arguments.workload, arguments.modalities)
    step = step_of(arguments.mode, model, list(shapes))
    pool = itertools.cycle([random_rows(shapes, arguments.batch_size) for _ in range(4)])
    send({"works": ["MultiVae"], "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad)})
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line.split()[-1])):
            began = time.perf_counter()
            step(next(pool))
            seconds.append(time.perf_counter() - began)
        send(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=sorted(LATENT_DIM), default="mlp")
    parser.add_argument("--modalities", type=int, default=5)
    parser.add_argument("--mode", choices=["train", "encode", "translate"], default="train")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--memory_gb", type=float, default=0.0, help="Address space; 0: no limit.")
    answers, sys.stdout = sys.stdout, sys.stderr  # what else is printed is no answer
    say = lambda value: print(json.dumps(value), file=answers, flush=True)  # noqa: E731
    try:
        main(parser.parse_args(), say)
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        say({"failed": f"{type(error).__name__}: {error}"})
