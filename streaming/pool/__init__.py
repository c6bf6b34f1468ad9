"""Many streams in few calls of the graph, each as if it were alone."""
