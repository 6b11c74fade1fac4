"""Dataflow kernels in Amaranth: one layer type a file, joined by valid/ready streams of packed lanes."""
