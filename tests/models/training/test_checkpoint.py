import numpy as np
import pytest
import torch
from torch import nn

from common.errors import CheckpointError
from models.tensorfile import write_bytes
from models.training import checkpoint


def trained():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, betas=(0.8, 0.99))
    module(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    return module, optimizer


def test_optimizer_state_comes_back_bit_for_bit(tmp_path):
    module, optimizer = trained()
    state = {
        "weights": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "nothing": None,
        "x": [1, 0.1],
    }
    checkpoint.save(tmp_path / "file", state)
    loaded = checkpoint.load(tmp_path / "file")
    assert loaded["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    for key, entry in optimizer.state_dict()["state"].items():
        for name, tensor in entry.items():
            found = loaded["optimizer"]["state"][key][name]
            assert found.shape == tensor.shape and found.dtype == tensor.dtype and torch.equal(found, tensor)
    assert loaded["nothing"] is None and loaded["x"] == [1, 0.1]
    other, _ = trained()
    checkpoint.restore(other, loaded["weights"], "file")
    assert all(
        torch.equal(a, b)
        for a, b in zip(other.state_dict().values(), module.state_dict().values(), strict=True)
    )


def test_same_state_same_bytes(tmp_path):
    module, optimizer = trained()
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, {"m": module.state_dict(), "o": optimizer.state_dict()})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_corrupt(tmp_path):
    module, _ = trained()
    path = tmp_path / "file"
    checkpoint.save(path, module.state_dict())
    content = path.read_bytes()
    for broken in (b"", content[:20], content[:-1], b"\xff" * 64, np.random.default_rng(0).bytes(500)):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match="file"):
            checkpoint.load(path)


def test_only_tensors_and_json(tmp_path):
    with pytest.raises(CheckpointError, match=r"/a is a set"):
        checkpoint.save(tmp_path / "file", {"a": {1}})


def test_another_network(tmp_path):
    module, _ = trained()
    weights = module.state_dict()
    with pytest.raises(CheckpointError, match=r"0\.weight has shape \(4, 3\), this network's has \(4, 2\)"):
        checkpoint.restore(nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), weights, "file")
    with pytest.raises(CheckpointError, match=r"1\.bias has shape \(4,\), this network's has none"):
        checkpoint.restore(nn.Sequential(nn.Linear(3, 4)), weights, "file")
    del weights["0.bias"]
    with pytest.raises(CheckpointError, match=r"0\.bias has shape none"):
        checkpoint.restore(module, weights, "file")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
