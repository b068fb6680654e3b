"""A simulated hospital: four tables of 800 patients that overlap in part, with empty cells. Six factors generate all of it.

Counts of 2,000 genes of 620 patients, 200 shares in [0, 1] of 560, 100 positive levels of 430, six clinical columns of mixed
kinds of 760. Needs pandas. It is simulated: who reports a figure from it says so.
"""

import numpy as np

PATIENTS, FACTORS, SUBTYPES = 800, 6, 4
ROWS = {"rna": 620, "meth": 560, "prot": 430, "clin": 760}


def simulate(seed=7):
    """Simulate the tables.

    Args:
        seed: int, of all draws.

    Returns:
        tables: {name: DataFrame} by patient, of the patients that have it.
        subtype: Series by patient, int in [0, 4).
        factors: [800, 6].

    Raises:
        ImportError: without pandas.
    """
    import pandas

    rng = np.random.default_rng(seed)
    ids = np.array([f"P{number:04d}" for number in range(PATIENTS)])
    subtype = rng.integers(0, SUBTYPES, PATIENTS)
    z = rng.normal(0, 1.5, (SUBTYPES, FACTORS))[subtype] + rng.normal(0, 0.7, (PATIENTS, FACTORS))
    makers = {"rna": counts, "meth": shares, "prot": levels, "clin": clinical}
    tables = {name: make(rng, z, pandas).set_axis(ids) for name, make in makers.items()}
    some = {
        name: table.sample(ROWS[name], random_state=number + 1) for number, (name, table) in enumerate(tables.items())
    }
    return some, pandas.Series(subtype, ids, name="subtype"), z


def counts(rng, z, pandas):
    """Simulate negative binomial counts, of a depth per patient; few factors in each gene."""
    loadings = rng.normal(0, 0.35, (FACTORS, 2000)) * (rng.random((FACTORS, 2000)) < 0.3)
    depth = np.exp(rng.normal(0, 0.4, PATIENTS))
    mean = np.exp(rng.normal(2.0, 1.2, 2000) + z @ loadings) * depth[:, None]
    dispersion = np.exp(rng.normal(0.7, 0.5, 2000))
    drawn = rng.negative_binomial(dispersion, dispersion / (dispersion + mean))
    return pandas.DataFrame(drawn).add_prefix("gene")


def shares(rng, z, pandas):
    """Simulate shares, Beta, one cell in 20 empty."""
    share = 1 / (1 + np.exp(-(rng.normal(0, 1.5, 200) + z @ rng.normal(0, 0.6, (FACTORS, 200)))))
    drawn = pandas.DataFrame(rng.beta(share * 20 + 0.01, (1 - share) * 20 + 0.01)).add_prefix("site")
    return drawn.mask(rng.random(drawn.shape) < 0.05)


def levels(rng, z, pandas):
    """Simulate levels, log-normal, one cell in 12 empty."""
    logs = 0.4 * z @ rng.normal(0, 1, (FACTORS, 100)) + rng.normal(0, 0.5, (PATIENTS, 100)) + rng.normal(3, 1, 100)
    drawn = pandas.DataFrame(np.exp(logs)).add_prefix("protein")
    return drawn.mask(rng.random(drawn.shape) < 0.08)


def clinical(rng, z, pandas):
    """Simulate numbers and classes, one cell in 8 empty."""
    stage = lambda: pandas.cut(z[:, 2] + rng.normal(0, 0.8, PATIENTS), 4, labels=["I", "II", "III", "IV"])  # noqa: E731
    table = pandas.DataFrame(
        {
            "age": 55 + 8 * z[:, 0] + rng.normal(0, 6, PATIENTS),
            "bmi": 26 + 2 * z[:, 1] + rng.normal(0, 3, PATIENTS),
            "crp": np.exp(z[:, 4] + rng.normal(0, 0.5, PATIENTS)),
            "sex": np.where(rng.random(PATIENTS) < 0.5, "F", "M"),
            "stage": stage().astype(str),
            "smoker": np.where(rng.random(PATIENTS) < 1 / (1 + np.exp(-z[:, 3])), "yes", "no"),
        }
    )
    for column in table:
        table.loc[rng.random(PATIENTS) < 0.12, column] = np.nan
    return table
