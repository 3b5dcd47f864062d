"""Functions that are execution functions and runners alike.  The loader runs these files; nothing imports them."""
