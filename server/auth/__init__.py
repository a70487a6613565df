"""Who is asking, what they may, and the one door that every request goes through."""
