"""Check an operation at many points: its values, its partials, and its lowerings to other languages."""
