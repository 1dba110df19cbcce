"""Functions of the gallery, one module for each subject."""
