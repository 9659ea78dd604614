"""What the comparisons need before they import anything: the scripts beside them, and one thread for all libraries."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
