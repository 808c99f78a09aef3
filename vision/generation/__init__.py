"""Generation of images: a generator and a discriminator that learn against each other."""
