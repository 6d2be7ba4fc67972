"""Dagster's definitions, one module for each layer or kind."""
