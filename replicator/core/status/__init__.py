"""The status of a deployment: assembled from facts, diagnosed, written as a document. Pure."""
