"""The wheel functions that come with Sylvite.  The loader runs these files; nothing imports them."""
