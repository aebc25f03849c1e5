"""Answers of Commons and Wikidata: from their APIs (resumable), a dump on disk or SPARQL."""
