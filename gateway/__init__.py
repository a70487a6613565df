"""The Raspberry Pi in the home: reads devices, keeps every value until the server has it."""
