"""Outside programs: which there are, how they run and how they end. Imports nothing of `hw`."""
