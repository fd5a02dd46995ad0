"""Token tables: fewer rows, narrower rows, rows that several tokens share."""
