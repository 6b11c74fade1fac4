"""What stages leave in a build's folder, as types. Imports `models` and `hw`."""
