"""The console: a page for eyes, in `static`, as plain modules that the api process serves (docs/console.md)."""
