"""Topics: declarations, and the changes that bring a broker in line with them."""
