"""The bus over HTTP: events in and out, streams that resume, tokens with scopes.  docs/http.md shows it."""
