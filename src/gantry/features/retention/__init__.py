"""What may be deleted, by reachability and never by age alone."""
