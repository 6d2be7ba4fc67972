"""The Dagster code location, and the regime method and the report as plain functions."""
