"""What lies outside the process: files, database, processes, devices."""
