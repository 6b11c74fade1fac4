"""How it runs: configuration, stages, store, engine, verification ladder, report, command line."""
