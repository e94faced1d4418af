"""Steps of training in a compiled loop, on samples of one program or of several."""
