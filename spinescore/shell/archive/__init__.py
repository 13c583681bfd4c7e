"""Where files are: folders, archives, DICOMDIRs, lists of paths, and how each is opened."""
