"""What is learned: data, teachers, students, distillation, freezing and export. Knows nothing of hardware."""

import logging
import warnings

# What importing Brevitas sets off and no user can mend: torch's search for a CUDA compiler, its notice on
# named tensors.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message="Named tensors", category=UserWarning)
