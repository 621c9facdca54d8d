"""Where the network trains and in which precision."""

from __future__ import annotations

import torch


class Device:
    """CUDA if there is one, else the processor; bfloat16 by autocast unless told otherwise."""

    def __init__(self, name="auto", precision="bf16"):
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = name
        self.precision = precision

    def autocast(self):
        return torch.autocast(self.name, torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, net):
        return net.to(self.name, memory_format=torch.channels_last)
