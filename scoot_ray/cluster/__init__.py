"""Everything that knows Ray: the session, the optimizer actor, the pool of placement groups, the worker."""
