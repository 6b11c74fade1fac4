"""The host's side of a board: the serial link, and PYNQ boards by SSH. Imports `hw.shells`."""
