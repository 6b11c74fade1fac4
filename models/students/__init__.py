"""Students, frozen to integers. Imports `common` and `models.data`."""
