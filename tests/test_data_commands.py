"""The commands behind docs/data.md run, on less than there is, and print what they say."""

import re

import numpy as np
import pytest
from running import main

pytestmark = pytest.mark.integration

pandas = pytest.importorskip("pandas", reason="the extra tables")


def test_the_simulated_hospital_is_the_same_each_time_and_of_factors():
    from trainers.hospital import ROWS, simulate

    tables, subtype, z = simulate()
    again, _, _ = simulate()
    assert {name: len(table) for name, table in tables.items()} == ROWS
    assert all(tables[name].equals(again[name]) for name in tables) and z.shape == (800, 6)
    assert sorted(subtype.unique()) == [0, 1, 2, 3]
    prot = np.log(tables["prot"]).join(subtype)  # levels differ between the subtypes: it is of factors
    between = prot.groupby("subtype").mean().std() / prot.drop(columns="subtype").std()
    assert between.drop("subtype", errors="ignore").mean() > 0.5


@pytest.mark.parametrize("data", ["cells", pytest.param("hospital", marks=pytest.mark.slow)])
def test_tables_are_imputed_and_held_against_others(data, monkeypatch):
    impute = pytest.importorskip("sklearn.impute", reason="the extra eval")
    pytest.importorskip("sklearn.experimental.enable_iterative_imputer")
    monkeypatch.setattr(impute, "IterativeImputer", lambda **_: impute.SimpleImputer())  # it takes half a minute
    lines = main("tables", f"--data={data}", "--epochs=1", "--refine_steps=0,2").splitlines()
    rows = {
        cells[0].strip(): [c.strip() for c in cells[1:]] for cells in (line.strip("| ").split("|") for line in lines)
    }
    own = [values for name, values in rows.items() if re.match("tf_mopoe, seed 0", name)]
    assert len(own) == 2 and all(0.1 < float(values[0]) < 3.0 and 0.0 < float(values[1]) <= 1.0 for values in own)
    means = next(values for name, values in rows.items() if name.startswith("column means"))
    assert float(means[0]) == pytest.approx(1.0, abs=0.2)  # standard deviations
