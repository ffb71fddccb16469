"""Accuracy and cost of the load generator."""
