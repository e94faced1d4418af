"""What users give to `gradcheck`: functions in many forms, and structures of numbers and of arrays of any library."""
