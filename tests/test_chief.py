"""One process of a cluster writes the run folder; what is written aside has a name that no other process uses."""

import types

import pytest
from tensorflow import distribute, train

from tf_mopoe.files import write_aside
from trainers import loop

JOBS = {
    "chief and workers": {"chief": ["a:1"], "worker": ["b:1", "c:1"]},
    "workers": {"worker": ["a:1", "b:1"]},
    "an evaluator": {"worker": ["a:1", "b:1"], "evaluator": ["c:1"]},
}


@pytest.mark.parametrize("case", JOBS)
def test_one_task_of_a_cluster_is_the_chief(case):
    chiefs = []
    for task_type, addresses in JOBS[case].items():
        for task_id in range(len(addresses)):
            resolver = distribute.cluster_resolver.SimpleClusterResolver(
                train.ClusterSpec(JOBS[case]), task_type=task_type, task_id=task_id
            )
            if loop.is_chief(types.SimpleNamespace(cluster_resolver=resolver)):
                chiefs.append((task_type, task_id))
    assert chiefs == [("chief" if "chief" in JOBS[case] else "worker", 0)]


def test_without_a_cluster_the_process_is_the_chief():
    assert loop.is_chief(distribute.get_strategy())


def test_names_aside_are_all_different_and_nothing_is_left_of_an_error(tmp_path):
    path = tmp_path / "model.keras"
    names = set()
    for _ in range(100):
        write_aside(path, lambda part: names.add(part) or part.write_text(""))
    assert len(names) == 100 and {(name.parent, name.suffix) for name in names} == {(tmp_path, ".keras")}
    write_aside(path, lambda part: part.write_text("first"))

    def fails(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_aside(path, fails)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["first"]
