"""Evaluation: scores, baselines, sweeps, and the tables and figures made of them."""
