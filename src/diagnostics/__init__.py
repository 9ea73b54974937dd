"""Does a fit hold? Tests of a best fit under squares, on arrays alone, and what they say in words."""
