"""Events out of the bus: to web addresses that want to hear of them."""
