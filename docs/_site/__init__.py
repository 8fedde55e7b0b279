"""What the documents' site is made with: a hook of mkdocs, and the configuration reference out of the schema."""
