"""What all packages need: errors, files, progress, the shape of a network. Imports none of them."""
