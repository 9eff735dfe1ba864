"""NAS-Bench-201: search a cell of four nodes and six edges; the table knows its accuracy."""
