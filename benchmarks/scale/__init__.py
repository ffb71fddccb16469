"""Many slots and many evaluations: whether the loop, the optimizer and the journal keep up."""
