"""Lightning's side of ``train``: module, loaders, checkpoints, and the bundle at the end."""
