"""Rules and trends: a person's series becomes findings with reasons; pure."""
