"""What is learned: data, teachers, students, distillation, freezing and export. Knows nothing of hardware."""

import logging
import os
import warnings

# What importing Brevitas sets off and no user can mend: torch's search for a CUDA compiler, its notice on
# named tensors.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message="Named tensors", category=UserWarning)

# AMX stays off, unless the user asks for it: virtual machines announce it and kill the process that uses it,
# and sums differ in their last bits with it. oneDNN reads this at its first product.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
