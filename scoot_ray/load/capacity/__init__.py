"""The highest rate at which SLOs hold: which to try next, one try, the verb."""
