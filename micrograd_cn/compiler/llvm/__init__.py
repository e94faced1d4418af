"""Write LLVM functions as text, and compile them to machine code for the processor that runs this process."""
