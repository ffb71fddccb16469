"""Are the confirmation's claims true, and do its promises hold? On simulated services, where the truth is known."""
