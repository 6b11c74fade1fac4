"""The tools of AMD's way to a bitstream. None is needed: the open way goes without, and so do its boards."""

from hw.tools.kinds import CommandTool, Tool, VariableTool

LICENCES = ("XILINXD_LICENSE_FILE", "LM_LICENSE_FILE")
"""The variables in which AMD's tools look for a licence, or its server (UG973)."""

_AMD = "AMD's Vivado (its free edition does for small chips), then `source settings64.sh`"

AMD_TOOLS: tuple[Tool, ...] = (
    CommandTool(
        "vivado",
        "place, route and pack, AMD",
        ("vivado",),
        f"{_AMD}; or have it at vivado.where = 'docker' or 'ssh'",
        optional=True,
        version_arguments=("-version",),
    ),
    CommandTool(
        "vitis_hls",
        "those of FINN's layers that are written in C++",
        ("vivado",),
        "AMD's Vitis HLS, which comes with Vitis or Vivado",
        optional=True,
        version_arguments=(),
        aliases=("vitis-run",),  # since 2025.1
    ),
    CommandTool(
        "v++",
        "links designs for Alveo cards",
        ("vivado",),
        "AMD's Vitis, and the card's platform",
        optional=True,
        version_arguments=("--version",),
    ),
    VariableTool(
        "licence",
        "AMD's tools for chips that need one",
        ("vivado",),
        f"a file, or port@server, in {' or '.join(LICENCES)}; most Zynq boards need none",
        optional=True,
        variables=LICENCES,
    ),
    CommandTool(
        "bash",
        "runs AMD's settings before their tools",
        ("vivado",),
        "your distribution has it",
        optional=True,
    ),
    CommandTool(
        "docker",
        "runs FINN's image",
        ("vivado",),
        "Docker Engine, as your distribution has it",
        optional=True,
    ),
)
