"""For tests, ours and yours: a real broker in a temporary folder, a storage that fails on request, a clock."""
