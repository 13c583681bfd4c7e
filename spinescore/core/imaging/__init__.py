"""From header and pixels to the image a network takes."""
