"""scvi-tools on the cells of trainers/counts.py: nats of a held-out cell. Runs in a separate environment.

    python -m trainers.counts --export=cells.npz --seeds=0
    python -m venv peer && peer/bin/pip install torch scvi-tools==1.4.2
    peer/bin/python -I trainers/peer_scvi.py cells.npz    # and the number of epochs; default 100

Networks of the sizes of trainers/counts.py; the size factor is the row's total (`use_observed_lib_size`).
log p(x) is scvi-tools' `get_marginal_ll`, importance sampling with 1,000 draws, summed over the genes.
"""

import sys
import time

import anndata
import numpy as np
import scvi

LIKELIHOODS = ("poisson", "nb", "zinb")
SETTINGS = {"n_latent": 10, "n_hidden": 128, "n_layers": 1, "use_observed_lib_size": True}


def main(path, epochs=100):
    with np.load(path) as file:
        counts, test = file["counts"], file["test_0"]
    train = np.setdiff1d(np.arange(len(counts)), test)
    print("| | nats of a held-out cell | training, s |\n|---|---|---|")
    for likelihood in LIKELIHOODS:
        scvi.settings.seed = 0
        cells = anndata.AnnData(counts[train])
        scvi.model.SCVI.setup_anndata(cells)
        model = scvi.model.SCVI(cells, gene_likelihood=likelihood, **SETTINGS)
        start = time.time()
        model.train(max_epochs=int(epochs), batch_size=64, train_size=1.0, enable_progress_bar=False, accelerator="cpu")
        seconds = time.time() - start
        nats = model.get_marginal_ll(
            anndata.AnnData(counts[test]), n_mc_samples=1000, n_mc_samples_per_pass=10, return_mean=True
        )
        print(f"| scvi-tools, {likelihood} | {float(nats):.1f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
