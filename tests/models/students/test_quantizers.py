import pytest
import torch
from brevitas.nn import QuantLinear, QuantReLU
from brevitas.quant import (
    Int8WeightPerTensorFixedPoint,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFixedPoint,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.students.quantizers import binarize_weight, quantize_activation, quantize_weight

seeds = st.integers(0, 10_000)


def drawn(seed, spread):
    return torch.randn(12, 20, generator=torch.Generator().manual_seed(seed)) * spread


def linear(weight, quantizer, **settings):
    layer = QuantLinear(20, 12, bias=False, weight_quant=quantizer, **settings)
    layer.weight.data.copy_(weight)
    return layer


def gradient(x, output, seed):
    weighted = output * torch.randn(output.shape, generator=torch.Generator().manual_seed(seed + 1))
    return torch.autograd.grad(weighted.sum(), x)[0]


@given(seeds, st.integers(2, 8), st.floats(1e-6, 1e4))
@example(0, 4, 0.0)
@settings(deadline=None, max_examples=25)
def test_weights_are_brevitas_s(seed, bits, spread):
    layer = linear(drawn(seed, spread), Int8WeightPerTensorFixedPoint, weight_bit_width=bits)
    weight = layer.weight.detach().clone().requires_grad_()
    quantized = quantize_weight(weight, bits)
    expected = layer.quant_weight().value
    assert torch.equal(quantized, expected)
    torch.testing.assert_close(gradient(weight, quantized, seed), gradient(layer.weight, expected, seed))


def test_the_scale_has_a_gradient_that_equal_weights_share():
    weight = torch.tensor([0.9, -0.9, 0.3]).requires_grad_()
    quantize_weight(weight, 2).backward(torch.tensor([0.0, 0.0, 1.0]))
    # Scale 0.5: 0.3 becomes 0.5, which grows as the largest does, by 0.2 / 0.9, for each of the two one half.
    torch.testing.assert_close(weight.grad, torch.tensor([0.1 / 0.9, -0.1 / 0.9, 1.0]))


def test_weight_ranges_at_and_beside_powers_of_two():
    for exponent in range(-20, 10):
        for factor in (1 - 2**-24, 1.0, 1 + 2**-23):
            weight = torch.full((12, 20), 2.0**exponent * factor)
            layer = linear(weight, Int8WeightPerTensorFixedPoint, weight_bit_width=4)
            assert torch.equal(quantize_weight(weight, 4), layer.quant_weight().value)


@given(seeds, st.sampled_from([0.125, 0.5, 1.0]))
@settings(deadline=None, max_examples=15)
def test_binary_weights_are_brevitas_s(seed, magnitude):
    layer = linear(drawn(seed, magnitude), SignedBinaryWeightPerTensorConst, weight_scaling_init=magnitude)
    layer.weight.data[0, 0] = 0.0
    weight = layer.weight.detach().clone().requires_grad_()
    quantized, expected = binarize_weight(weight, magnitude), layer.quant_weight().value
    assert torch.equal(quantized, expected) and torch.equal(weight, layer.weight)
    assert torch.equal(gradient(weight, quantized, seed), gradient(layer.weight, expected, seed))


@given(seeds, st.integers(1, 8), st.sampled_from([2.0, 4.0]))
@settings(deadline=None, max_examples=25)
def test_activations_are_brevitas_s(seed, bits, top):
    scale = top / 2**bits
    layer = QuantReLU(
        act_quant=Uint8ActPerTensorFixedPoint, bit_width=bits, scaling_impl_type="const", scaling_init=top
    )
    x = drawn(seed, top)
    x[0, 0], x[0, 1], x[0, 2] = 0.0, 1e6, -1e6
    x[1] = (torch.arange(20) - 2) * scale / 2  # rounds to even
    x.requires_grad_()
    quantized, expected = quantize_activation(x, bits, scale), layer(x)
    assert torch.equal(quantized, expected)
    assert torch.equal(gradient(x, quantized, seed), gradient(x, expected, seed))


@pytest.mark.parametrize("bits", [1, 4])
def test_memory_format_is_kept(bits):
    weight = torch.randn(6, 5, 3, 3).to(memory_format=torch.channels_last)
    quantized = binarize_weight(weight, 0.125) if bits == 1 else quantize_weight(weight, bits)
    assert quantized.is_contiguous(memory_format=torch.channels_last)
