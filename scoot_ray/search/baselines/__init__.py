"""What SCOOT is compared with: the paper's baselines (section V-A3), and what one would take off the shelf today.

One module each. All take a situation and return suggestions that are new and keep the known constraints; all start
with Sobol points of the same seed and fall back on them.
"""
