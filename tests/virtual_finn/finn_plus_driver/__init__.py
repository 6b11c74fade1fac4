"""As FINN's own driver answers, on the virtual board; with VIRTUAL_FAULT `short`, it loses an output."""

import os

import numpy as np
from pynq import Overlay


class FINNDMAOverlay(Overlay):
    def __init__(self, bitfile_name, platform, io_shape_dict, batch_size=1, **kwargs):
        super().__init__(bitfile_name)
        assert platform == "zynq-iodma"
        self.batch_size = batch_size

    def execute(self, frames):
        assert frames.shape == (self.batch_size, *self.shapes["ishape_normal"][0][1:])
        outputs = self.network.run(["logits"], {"x": frames.reshape(len(frames), -1)})[0]
        return outputs[os.environ.get("VIRTUAL_FAULT") == "short" :].astype(np.float32)

    def execute_on_buffers(self):
        pass

    def throughput_test(self):
        return {"throughput[images/s]": np.float32(1000.0), "batch_size": self.batch_size}


def get_driver_class(driver_type):
    return {"FINNDMAOverlay": FINNDMAOverlay}[driver_type]
