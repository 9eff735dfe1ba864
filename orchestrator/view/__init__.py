"""Views of a run: live, plain lines, tables, pictures."""
