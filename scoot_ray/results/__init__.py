"""What people and machines are shown: result.json, tables, the live display, the command to use."""
