"""How long what people and rules wait for takes to read, beside what one would write first."""
