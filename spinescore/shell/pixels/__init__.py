"""From files to pixels, and what is known of them."""
