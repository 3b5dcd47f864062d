"""Jobs: ids, targets, publishing, collecting returns."""
