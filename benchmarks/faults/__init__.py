"""Faults thrown at running studies: multi-node Ray on one machine, engines in real processes, invariants checked."""
