"""Salt's REST API, as the programs written for it use it.  Spec: docs/salt-rest.md."""
