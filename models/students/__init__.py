"""Students: quantized networks, their integer form, decision trees. Imports `common` and `models.data`."""
