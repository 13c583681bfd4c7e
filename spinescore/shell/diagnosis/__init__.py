"""What `doctor` looks at: packages, the machine, folders, decoders, the database, models."""
