"""From a manifest to the jobs it asks for: hashed, named and checked, in a table."""
