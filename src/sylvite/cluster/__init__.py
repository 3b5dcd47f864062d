"""More than one master: the bus on NATS JetStream.  Each master's log goes out, the others' events come in, once each."""
