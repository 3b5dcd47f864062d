"""What client and broker say to each other.  No I/O: bytes in, messages out, and the other way round."""
