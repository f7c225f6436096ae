"""ctrlgen inside other people's engines; each module is imported on demand."""
