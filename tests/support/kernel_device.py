"""Where kernels are tested: on an NVIDIA card where there is one, else in Triton's interpreter, which knows no bfloat16
products. Importing it skips a module where neither can be.
"""

import pytest
import torch

triton = pytest.importorskip("triton", reason="needs triton: pip install triton")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

if DEVICE.type == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 9):
    # Seen with 3.6: loops over a computed range fail with NumPy 2.4. What is compiled is not concerned.
    pytest.skip("the interpreter needs triton 3.9: pip install -U triton", allow_module_level=True)
