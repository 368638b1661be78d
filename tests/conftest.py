"""What every run of the tests has: its profile and seed, who may skip, and in which order workers take modules.

Where there is no NVIDIA card, Triton's kernels run in its interpreter: to be said before anything imports it.
"""

import os
import shutil

pytest_plugins = ["pytester", "run_profile", "run_seed", "allowed_skips", "worker_order"]

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")
