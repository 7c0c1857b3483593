"""Pages and pictures made from results: self-contained, nothing fetched."""
