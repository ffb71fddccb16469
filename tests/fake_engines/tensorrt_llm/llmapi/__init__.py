"""The API whose arguments the YAML file sets."""
