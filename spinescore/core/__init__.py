"""What is computed: pure, values in, values out."""
