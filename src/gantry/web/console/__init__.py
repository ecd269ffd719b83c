"""The console: server-rendered pages, each with a context that says what its template may use."""
