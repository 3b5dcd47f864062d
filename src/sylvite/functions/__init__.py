"""What a job can call: execution functions, runners, and the loader that finds them."""
