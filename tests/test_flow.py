"""How much code a batch of `fit` passes: the figures of docs/design.md, "A batch of `fit`, step by step"."""

import pathlib
import re
import sys

import small
import tensorflow as tf

import tf_mopoe as mopoe

LIBRARY = pathlib.Path(mopoe.__file__).parent
DOCUMENT = LIBRARY.parent / "docs/design.md"


def test_a_batch_passes_as_many_files_and_functions_as_the_document_says():
    model = small.compiled(("image", "sensor"))
    inputs = {name: tf.constant(x) for name, x in small.rows(8, model.modalities).items()}
    model.train_step(inputs)  # makes what is made once
    passed = set()

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(LIBRARY)) and not code.co_name.startswith("<"):
            passed.add((code.co_filename, code.co_qualname))

    sys.setprofile(note)
    try:
        model.train_step(inputs)
    finally:
        sys.setprofile(None)
    message = re.search(r"of two modalities runs code of (\d+) files and (\d+) functions", DOCUMENT.read_text())
    files, functions = map(int, message.groups())
    assert len({file for file, _ in passed}) == files
    assert abs(len(passed) - functions) <= 5, sorted(passed)  # Keras' versions call some others
