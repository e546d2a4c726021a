"""The shell: lines in, statements to the node, results out."""
