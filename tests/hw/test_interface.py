import json
from dataclasses import replace

import numpy as np
import pytest

from common.errors import ModelFileError
from hw.interface import Affine, CoreInterface, StreamFormat

IO = CoreInterface(StreamFormat((8, 8, 1), "uint8", 4), StreamFormat((10,), "int16", 2))


def test_file_gives_the_same_interface_and_the_sizes(tmp_path):
    IO.save(tmp_path / "io.json")
    assert CoreInterface.load(tmp_path / "io.json") == IO
    raw = json.loads((tmp_path / "io.json").read_text())
    assert raw["input"]["words_per_frame"] == 16
    assert raw["output"]["word_bits"] == 32
    assert raw["output"]["bytes_per_frame"] == 20


def test_file_says_what_integers_stand_for(tmp_path):
    values = (Affine(0.5, -1.0), Affine(1 / 255, 0.1), Affine())
    io = replace(IO, input_values=values, output_values=Affine(0.3, 2.0))
    io.save(tmp_path / "io.json")
    assert CoreInterface.load(tmp_path / "io.json") == io
    raw = json.loads((tmp_path / "io.json").read_text())
    assert raw["input"]["values"][0] == {"scale": 0.5, "offset": -1.0}
    assert raw["output"]["values"] == [{"scale": 0.3, "offset": 2.0}]
    IO.save(tmp_path / "io.json")
    raw = json.loads((tmp_path / "io.json").read_text())
    assert raw["input"]["values"] == [{"scale": 1.0, "offset": 0.0}] and "values" not in raw["output"]
    for broken in ({"values": []}, {"values": [{"scale": "1"}]}, {"values": 3}):
        (tmp_path / "io.json").write_text(json.dumps(raw | {"input": raw["input"] | broken}))
        with pytest.raises(ModelFileError, match=r"io\.json: input\.values"):
            CoreInterface.load(tmp_path / "io.json")


def test_bytes_are_little_endian_and_in_order():
    frames = np.array([[1, -2, *range(8)]], np.int16)
    data = IO.output.to_bytes(frames)
    assert data[:4] == b"\x01\x00\xfe\xff"
    np.testing.assert_array_equal(IO.output.from_bytes(data), frames)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"input": {"shape": [4], "dtype": "uint8", "lanes": 1}}'])
def test_malformed_file_is_named(tmp_path, text):
    (tmp_path / "io.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"io\.json: .*run `retort build`|io\.json: cannot"):
        CoreInterface.load(tmp_path / "io.json")


def test_bad_streams_are_refused():
    with pytest.raises(ModelFileError, match="do not fill"):
        StreamFormat((10,), "uint8", 3)
    with pytest.raises(ModelFileError, match="float32"):
        StreamFormat((10,), "float32", 1)
