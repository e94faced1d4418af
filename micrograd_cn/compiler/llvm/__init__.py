"""Write LLVM functions as text, compile them to machine code, and hold what is particular to this machine."""
