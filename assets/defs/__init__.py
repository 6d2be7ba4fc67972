"""Dagster's definitions, one module for each layer or kind."""

import warnings

import dagster as dg

# Of freshness policies, `map_asset_specs` and backfill policies, which are new in Dagster.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)
