"""Guest images: how they are built, where they are kept and how they are found again."""
