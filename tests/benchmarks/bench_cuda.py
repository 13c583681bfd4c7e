"""The GPU: images per second end to end, the limit of each stage alone, and what bounds the whole.

    python tests/benchmarks/bench_cuda.py [--device cuda|cpu] [--images N] [--network b4|b0] [--workers N]

Without a CUDA device it says so and ends, unless `--device cpu` is asked for: that shows that it runs, and says
nothing about a GPU. The network is untrained, the images are phantoms: times only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--device", default="cuda")
    asked.add_argument("--images", type=int, default=512)
    asked.add_argument("--network", default="b4")
    asked.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--rows", type=int, default=2840, help="of the radiographs")
    asked.add_argument("--canvas", type=int, nargs=2, default=(1024, 512))
    options = asked.parse_args()
    from spinescore.core.imaging.preprocessing import PreprocessingSpec
    from spinescore.shell.backends import count_cuda
    from tests.benchmarks.bench_inference import write_untrained
    from tests.benchmarks.cuda_stages import measure

    n_devices, absent = count_cuda()
    if options.device != "cpu" and not n_devices:
        print(f"No GPU is measured: {absent}. (--device cpu runs the same code on the processor.)")
        return
    spec = PreprocessingSpec(height=options.canvas[0], width=options.canvas[1])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPINESCORE_HOME"] = folder
        bundle = write_untrained(Path(folder) / "bundle", spec, backbone=f"efficientnet-{options.network}")
        measure(bundle, Path(folder), options)


if __name__ == "__main__":
    main()
