"""Where there is no NVIDIA card, Triton's kernels run in its interpreter: to be said before anything imports it."""

import os
import shutil

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")
