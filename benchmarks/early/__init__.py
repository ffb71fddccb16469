"""What ending hopeless evaluations early saves, and what it costs: simulated studies with and without."""
