"""Dead letters as tools see them: what their headers say, and what they have in common."""
