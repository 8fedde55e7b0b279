"""Do the tests catch the defects that matter? Each is planted in a copy of the sources, and named tests must fail."""
