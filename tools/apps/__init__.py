"""Pages made from results: self-contained HTML, no script, nothing fetched."""
