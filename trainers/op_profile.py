"""The kinds of operations in a trace of TensorFlow's profiler."""

import collections
import re


def by_kind(space):
    """Sum the executor threads' operations by kind: {kind of operation: (seconds, how often)}, as a Counter."""
    kinds = collections.defaultdict(lambda: [0.0, 0])
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                kind = re.fullmatch(r"[^:]+:(_?[A-Z]\w*)", plane.event_metadata[event.metadata_id].name)
                if plane.name == "/host:CPU" and kind:
                    kinds[kind[1]][0] += event.duration_ps * 1e-12
                    kinds[kind[1]][1] += 1
    return collections.Counter({kind: tuple(value) for kind, value in kinds.items()})
