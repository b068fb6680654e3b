"""Times the library: its steps, what the powerset costs, the data's way in, and MultiVae (PyTorch) at the same work.

    python -m trainers.benchmark
    python -m trainers.benchmark --workloads=mlp --modalities=8,10 --modes=train --peer=peer/bin/python
    python -m trainers.benchmark --workloads=polymnist --modes=fit,loop,data --data_dir=DIR

Prints Markdown: median steps and ratios of a round's medians, each with its least and greatest. What is
compared takes turns of a few seconds; each mode has a separate process, whose peak of resident memory is reported.

    train        the model's train step on rows in memory
    floor        the same against that of one product of experts and one KL: what the powerset costs
    missing      the train step where half of the entries are missing: the rows that are there gathered, others standing in
    encode       the posterior given the first modality
    joint        all components of the joint posterior, given all modalities
    translate    from the first modality to the last, against their encoder and decoder alone, and with one draw of z
    fit, loop    PolyMNIST's rows, generated on the fly, through `fit` and through trainers.loop, against the train step
    data         these rows alone, against the train step
    import       `import tf_mopoe`, against that of TensorFlow and TensorFlow Probability

With --peer MultiVae takes turns in train, encode and translate, as it is and with an allocator that keeps its memory.
Only an idle machine compares: its threads wait for each other at every small op, so any other process slows it by far more
than it slows TensorFlow. The load of other processes, before the start, is reported.
"""

import contextlib
import os
import pathlib
import subprocess
import sys

from absl import app, flags

from trainers import commands, peers, statistics
from trainers.interleave import Worker, alternate
from trainers.run_folder import commit, device, write_json
from trainers.workloads import MODALITIES

FLAGS = flags.FLAGS
flags.DEFINE_list("workloads", list(MODALITIES), "Which of these.")
flags.DEFINE_list("modalities", ["2", "5", "8", "10"], "Numbers of modalities of mlp.")
flags.DEFINE_list("modes", ["train", "floor", "encode", "translate", "import"], "Which of those above.")
flags.DEFINE_integer("batch_size", 256, "Rows in a step.", lower_bound=1)
flags.DEFINE_enum(
    "precision", "float32", ["float32", "mixed_float16", "mixed_bfloat16"], "Ours; the peer's is float32."
)
flags.DEFINE_integer("steps_per_call", 1, "Train steps in one call of the bare step.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Turns of each work.", lower_bound=1)
flags.DEFINE_float("seconds", 3.0, "Of a turn, about.", lower_bound=0.0)
flags.DEFINE_string("data_dir", None, "Where MNIST is, for fit, loop and data.")
flags.DEFINE_string("backgrounds", None, "Folder of PolyMNIST's backgrounds. Default: scikit-image's photographs.")
flags.DEFINE_string("peer", None, "The python of an environment that has MultiVae.")
flags.DEFINE_integer("peer_batch_size", None, "Rows in the peer's step. Default: --batch_size.", lower_bound=1)
flags.DEFINE_float("peer_memory_gb", 16.0, "The peer's address space; 0: no limit.", lower_bound=0.0)
flags.DEFINE_string("out", None, "File to write all times to, as JSON.")

OWN = ("train", "floor", "missing", "encode", "joint", "translate")
WITH_DATA = ("fit", "loop", "data")  # polymnist only
WITH_PEER = ("train", "encode", "translate")
KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "60000000000"}


def main(_):
    check_flags()
    load = os.getloadavg()[0]  # of others: ours has not begun
    cases = [imports()] if "import" in FLAGS.modes else []
    for workload in FLAGS.workloads:
        modes = [mode for mode in FLAGS.modes if mode in OWN or (mode in WITH_DATA and workload == "polymnist")]
        for modalities in [MODALITIES[workload]] if MODALITIES[workload] else map(int, FLAGS.modalities):
            cases += [case(workload, modalities, mode) for mode in modes]
    facts = {"commit": commit(), "device": device(), "load_before": load}
    print(f"Commit {facts['commit']}, {facts['device']}, load {load:.1f} before; {FLAGS.rounds} rounds.\n")
    print("\n".join(statistics.tables(cases)))
    if FLAGS.out:
        names = [flag.name for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])]
        facts["flags"] = {name: FLAGS[name].value for name in names}
        write_json(pathlib.Path(FLAGS.out), facts | {"cases": cases})


def check_flags():
    for name, known in (("workloads", tuple(MODALITIES)), ("modes", (*OWN, *WITH_DATA, "import"))):
        unknown = [value for value in FLAGS[name].value if value not in known]
        if unknown or not FLAGS[name].value:
            received = ", ".join(unknown) or "none"
            raise app.UsageError(f"--{name} must be some of {', '.join(known)}. Received: {received}")
    if not all(count.isdigit() and int(count) for count in FLAGS.modalities):
        raise app.UsageError(f"--modalities must be positive integers. Received: {','.join(FLAGS.modalities)}")
    with_data = ",".join(mode for mode in FLAGS.modes if mode in WITH_DATA)
    if not with_data:
        commands.refuse(("data_dir", "backgrounds"), f"without one of --modes={','.join(WITH_DATA)}")
    if not FLAGS.peer:
        commands.refuse(("peer_batch_size", "peer_memory_gb"), "without --peer")
    if with_data and not (FLAGS.data_dir and pathlib.Path(FLAGS.data_dir).is_dir()):
        raise app.UsageError(f"--modes={with_data} needs --data_dir, the folder of MNIST. Received: {FLAGS.data_dir}")
    if with_data and "polymnist" not in FLAGS.workloads:
        received = ",".join(FLAGS.workloads)
        raise app.UsageError(f"--modes={with_data} needs --workloads=polymnist. Received: --workloads={received}")
    if FLAGS.out and not pathlib.Path(FLAGS.out).absolute().parent.is_dir():
        raise app.UsageError(f"--out must be a file in a folder that exists. Received: {FLAGS.out}")
    if FLAGS.peer:
        peers.check(FLAGS.peer)


def case(workload, modalities, mode):
    """Time one mode of one workload, with the peer if it has it: see `trainers.statistics`."""
    title = workload if MODALITIES[workload] else f"{workload}, M = {modalities}"
    print(f"{title}: {mode}", file=sys.stderr)
    common = [f"--workload={workload}", f"--modalities={modalities}", f"--mode={mode}"]
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(Worker(own_command(common)))
        workers = dict.fromkeys(own.works, (own, FLAGS.batch_size))
        if FLAGS.peer and mode in WITH_PEER:
            rows = FLAGS.peer_batch_size or FLAGS.batch_size
            for name, environment in ((statistics.PEER, {}), (f"{statistics.PEER}, tuned", KEEPS_MEMORY)):
                workers[name] = stack.enter_context(Worker(peer_command(common, rows), environment)), rows
        works = {name: worker.work(name) for name, (worker, _) in workers.items()}
        times = alternate(works, FLAGS.rounds, FLAGS.seconds)
        facts = {
            name: {"batch_size": rows, "parameters": worker.parameters, "peak_mb": worker.peak_mb}
            for name, (worker, rows) in workers.items()
        }
    works = [{"name": name, "seconds": seconds} | facts[name] for name, seconds in times.items()]
    return {"workload": title, "mode": mode, "works": works}


def own_command(common):
    shared = ("batch_size", "precision", "steps_per_call", "data_dir", "backgrounds")
    given = [f"--{name}={FLAGS[name].value}" for name in shared if FLAGS[name].value is not None]
    return [sys.executable, "-m", "trainers.cases", *common, *given]


def peer_command(common, rows):
    script = pathlib.Path(__file__).with_name("peer_multivae.py")
    return [FLAGS.peer, "-I", str(script), *common, f"--batch_size={rows}", f"--memory_gb={FLAGS.peer_memory_gb}"]


def imports():
    """Time the import, each time in a new process."""
    names = ("import tf_mopoe", "import tensorflow, tensorflow_probability")
    times = alternate({name: import_in_a_process(name) for name in names}, FLAGS.rounds, FLAGS.seconds)
    works = [{"name": name, "seconds": seconds, "batch_size": 1, "parameters": 0} for name, seconds in times.items()]
    return {"workload": "", "mode": "import", "works": works}


def import_in_a_process(statement):
    code = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"

    def work(steps):
        command = [sys.executable, "-c", code]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(steps)]
        return [float(run.stdout.split()[-1]) for run in runs]

    return work


if __name__ == "__main__":
    commands.run(main)
