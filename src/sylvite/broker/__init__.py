"""The broker: log, router, subscriptions; and the sockets around them."""
