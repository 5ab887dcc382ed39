"""How weights follow the gradient: optimisers, schedules, averages, the search for a rate, paths. Reads no files."""
