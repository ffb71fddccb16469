"""How well failures are told apart: the corpus, its confusion matrix, and what provoked its real logs."""
