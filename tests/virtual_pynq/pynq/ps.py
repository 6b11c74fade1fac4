"""Clocks of the processing system."""


class Clocks:
    fclk0_mhz = 50.0
